"""The way back from the canvas of a network to the pixels of an image."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fpn_jax.data.bitmaps import paste_masks
from fpn_jax.types import Detections


def in_image_pixels(
    found: Detections, *, size: npt.ArrayLike, image_size: Sequence[int]
) -> Detections:
    """Returns one image's detections without padding, in pixels of the image.

    Args:
        found: of one image, NumPy arrays: boxes [D, 4], masks [D, M, M] …
        size: [2], height and width of the image on the canvas, whole or not.
        image_size: [2], height and width of the image; masks are pasted there and
            become bool [D, H, W].
    """
    rows = np.asarray(found.valid)
    ratio = np.float32(np.divide(image_size, size)[::-1])
    boxes = found.boxes[rows] * np.tile(ratio, 2)
    masks = keypoints = scores = None
    if found.masks is not None:
        masks = paste_masks(found.masks[rows], boxes, *map(int, image_size))
    if found.keypoints is not None:
        keypoints = found.keypoints[rows] * ratio
    if found.keypoint_scores is not None:
        scores = found.keypoint_scores[rows]
    return Detections(
        boxes=boxes,
        scores=found.scores[rows],
        labels=found.labels[rows],
        valid=rows[rows],
        masks=masks,
        keypoints=keypoints,
        keypoint_scores=scores,
    )
