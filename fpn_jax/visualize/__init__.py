"""Pictures of images with what is on them, and plots of numbers.

An image is uint8 [H, W, 3], RGB. Functions named `draw_…` return a copy with something
on it; boxes, masks (bitmaps of the image) and keypoints are in its pixels, and rows
that are not valid are left out. `draw_tag` alone draws into what it is given. Functions
named `plot_…` return a figure of matplotlib. Nothing is shown, and only `save_image`
writes a file.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.visualize.drawing import (
        draw_boxes,
        draw_detections,
        draw_keypoints,
        draw_masks,
        draw_tag,
        draw_truth,
    )
    from fpn_jax.visualize.pictures import pyramid_picture, sample_grid, save_image
    from fpn_jax.visualize.plots import (
        plot_class_precision,
        plot_confusion,
        plot_losses,
        plot_precision_recall,
        plot_validation,
    )

__all__ = [
    "draw_boxes",
    "draw_detections",
    "draw_keypoints",
    "draw_masks",
    "draw_tag",
    "draw_truth",
    "plot_class_precision",
    "plot_confusion",
    "plot_losses",
    "plot_precision_recall",
    "plot_validation",
    "pyramid_picture",
    "sample_grid",
    "save_image",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.visualize.drawing": (
            "draw_boxes",
            "draw_detections",
            "draw_keypoints",
            "draw_masks",
            "draw_tag",
            "draw_truth",
        ),
        "fpn_jax.visualize.pictures": ("pyramid_picture", "sample_grid", "save_image"),
        "fpn_jax.visualize.plots": (
            "plot_class_precision",
            "plot_confusion",
            "plot_losses",
            "plot_precision_recall",
            "plot_validation",
        ),
    },
)
