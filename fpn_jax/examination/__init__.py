"""Examines a data set for defects; the command is `fpn_jax.doctor`.

- `examine_splits` reads every image once: an `Examination` keeps what there is, without
  the pixels, and the `Defect`s of the annotations and of each example.
- `canvas`, `anchor_coverage` and `levels` hold the boxes of a split against a canvas
  and a detector, which they ask for its `facts` only.
- `rehearsal` makes the first batches of a run.
- `augmented` shows training images under each random change.
- `tables` and `page` present the same in a terminal and as HTML.

Boxes are xyxy: in pixels of the image in an `Examination` and a `Defect`, in pixels of
the canvas everywhere else. Nothing here changes the data.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.examination.anchor_coverage import (
        Coverage,
        coverage,
        with_better_anchors,
    )
    from fpn_jax.examination.augmented import augmented_sections, every_transform
    from fpn_jax.examination.canvas import best_canvas, boxes_on_canvas, canvas_line
    from fpn_jax.examination.examine import (
        Examination,
        Seen,
        all_defects,
        examine_splits,
        shared_defects,
    )
    from fpn_jax.examination.levels import level_report
    from fpn_jax.examination.page import defect_sections, with_pictures
    from fpn_jax.examination.rehearsal import rehearse
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
    "all_defects",
    "anchor_table",
    "augmented_sections",
    "best_canvas",
    "boxes_on_canvas",
    "canvas_line",
    "class_table",
    "coverage",
    "defect_list",
    "defect_sections",
    "every_transform",
    "examine_splits",
    "level_report",
    "level_table",
    "rehearse",
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
        "fpn_jax.examination.augmented": ("augmented_sections", "every_transform"),
        "fpn_jax.examination.canvas": (
            "best_canvas",
            "boxes_on_canvas",
            "canvas_line",
        ),
        "fpn_jax.examination.examine": (
            "Examination",
            "Seen",
            "all_defects",
            "examine_splits",
            "shared_defects",
        ),
        "fpn_jax.examination.levels": ("level_report",),
        "fpn_jax.examination.page": ("defect_sections", "with_pictures"),
        "fpn_jax.examination.rehearsal": ("rehearse",),
        "fpn_jax.examination.tables": (
            "anchor_table",
            "class_table",
            "defect_list",
            "level_table",
            "size_table",
        ),
    },
)
