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
    from fpn_jax.visualize.label_plots import plot_labels
    from fpn_jax.visualize.pictures import (
        picture_grid,
        pyramid_picture,
        sample_grid,
        save_image,
    )
    from fpn_jax.visualize.plots import (
        plot_class_precision,
        plot_confusion,
        plot_losses,
        plot_precision_recall,
        plot_validation,
    )
    from fpn_jax.visualize.score_plots import plot_scores

__all__ = [
    "draw_boxes",
    "draw_detections",
    "draw_keypoints",
    "draw_masks",
    "draw_tag",
    "draw_truth",
    "picture_grid",
    "plot_class_precision",
    "plot_confusion",
    "plot_labels",
    "plot_losses",
    "plot_precision_recall",
    "plot_scores",
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
        "fpn_jax.visualize.label_plots": ("plot_labels",),
        "fpn_jax.visualize.pictures": (
            "picture_grid",
            "pyramid_picture",
            "sample_grid",
            "save_image",
        ),
        "fpn_jax.visualize.plots": (
            "plot_class_precision",
            "plot_confusion",
            "plot_losses",
            "plot_precision_recall",
            "plot_validation",
        ),
        "fpn_jax.visualize.score_plots": ("plot_scores",),
    },
)
