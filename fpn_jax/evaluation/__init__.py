"""Metrics of detections: COCO's precision and recall, and confusion.

Ground truth is the dictionary of a COCO annotation file, results are COCO's list: boxes
are [x, y, width, height] in pixels of the original image (`records.py` makes both of
examples and detections). A `Measure` says what is compared: `BOXES`, `MASKS`,
`KEYPOINTS`, or `PROPOSALS`, which have no class. `evaluate_results` gives the figures
by COCO's names, "AP", "AP50", "mask/AP" …, in 0 … 1, and NaN where there is nothing to
be found; `accumulate` and `summarize` are its two halves. `evaluation_step` is the
program that detects; `evaluate.py` runs it over a data set.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.evaluation.coco import (
        BOXES,
        KEYPOINTS,
        MASKS,
        PROPOSALS,
        Accumulated,
        Measure,
        accumulate,
        evaluate_results,
        summarize,
    )
    from fpn_jax.evaluation.confusion import confusion_matrix
    from fpn_jax.evaluation.evaluate import Evaluated, evaluation_step
    from fpn_jax.evaluation.records import (
        coco_ground_truth,
        coco_results,
        image_results,
    )

__all__ = [
    "Accumulated",
    "BOXES",
    "Evaluated",
    "KEYPOINTS",
    "MASKS",
    "Measure",
    "PROPOSALS",
    "accumulate",
    "coco_ground_truth",
    "coco_results",
    "confusion_matrix",
    "evaluate_results",
    "evaluation_step",
    "image_results",
    "summarize",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.evaluation.coco": (
            "Accumulated",
            "BOXES",
            "KEYPOINTS",
            "MASKS",
            "Measure",
            "PROPOSALS",
            "accumulate",
            "evaluate_results",
            "summarize",
        ),
        "fpn_jax.evaluation.confusion": ("confusion_matrix",),
        "fpn_jax.evaluation.evaluate": ("Evaluated", "evaluation_step"),
        "fpn_jax.evaluation.records": (
            "coco_ground_truth",
            "coco_results",
            "image_results",
        ),
    },
)
