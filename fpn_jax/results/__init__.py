"""Detections in an image, and the formats that other programs read.

A `Result` is the detections of one image in its own pixels, with the names of their
classes. It can be filtered, drawn, and given as COCO's rows, JSON, a pandas table or
supervision's detections. `coco_file`, `csv_file`, `yolo_folder`, `label_studio` and
`crops_folder` write the results of many images.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.results.result import Result

__all__ = [
    "Result",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.results.result": ("Result",),
    },
)
