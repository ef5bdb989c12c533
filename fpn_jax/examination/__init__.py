"""What the doctor does: what there is in a data set and what is wrong.

A walk through a split (`examine.py`) reads every image once and gives an `Examination`:
what is kept of each example, and its defects, sorted by kind and place. `coverage` says
which anchor of a detector overlaps each box most; boxes are [N, 4], xyxy, in pixels of
the canvas. The tables are rich's, for a terminal; `with_pictures` adds pictures to a
page of HTML. Nothing here changes the data.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.examination.anchor_coverage import (
        Coverage,
        coverage,
        with_better_anchors,
    )
    from fpn_jax.examination.examine import Examination, Seen, shared_defects
    from fpn_jax.examination.page import (
        augmented_sections,
        defect_sections,
        with_pictures,
    )
    from fpn_jax.examination.tables import (
        anchor_table,
        class_table,
        defect_list,
        level_table,
        size_table,
    )

__all__ = [
    "Coverage",
    "Examination",
    "Seen",
    "anchor_table",
    "augmented_sections",
    "class_table",
    "coverage",
    "defect_list",
    "defect_sections",
    "level_table",
    "shared_defects",
    "size_table",
    "with_better_anchors",
    "with_pictures",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.examination.anchor_coverage": (
            "Coverage",
            "coverage",
            "with_better_anchors",
        ),
        "fpn_jax.examination.examine": ("Examination", "Seen", "shared_defects"),
        "fpn_jax.examination.page": (
            "augmented_sections",
            "defect_sections",
            "with_pictures",
        ),
        "fpn_jax.examination.tables": (
            "anchor_table",
            "class_table",
            "defect_list",
            "level_table",
            "size_table",
        ),
    },
)
