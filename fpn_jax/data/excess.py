"""Objects for which a batch has no room: left out, and not learnt as background."""

import dataclasses

import numpy as np

from fpn_jax.data.example import Example
from fpn_jax.data.transforms import box_areas

_FEWEST, _MOST = 16, 256  # rows for objects that are chosen where none are asked for
_UNKNOWN = 100  # COCO's images have up to 93
# ImageNet's mean, which normalization turns into 0, as padding is.
_BLANK = np.array([124, 116, 104], np.uint8)


def room_for(counts: np.ndarray | None) -> int:
    """Returns the number of rows that hold all objects of an image, within limits.

    Args:
        counts: [N] objects of each image, or None where they are not known.
    """
    if counts is None:
        return _UNKNOWN
    rounded = -(-int(counts.max(initial=0)) // 8) * 8
    return min(max(rounded, _FEWEST), _MOST)


def largest(example: Example, max_boxes: int) -> np.ndarray:
    """Returns the rows of the `max_boxes` largest objects, in their order.

    Crowd regions come last, since no loss uses them. Boxes without area are left
    out: no anchor could learn them.
    """
    sizes = box_areas(example.boxes)
    order = np.lexsort((-sizes, example.crowd))[:max_boxes]
    return np.sort(order[sizes[order] > 0])


def without_excess(example: Example, max_boxes: int) -> Example:
    """Returns the example with its largest objects; all others are painted over.

    An object that stayed to be seen would be learnt as background. The boxes of objects
    that are kept are not painted.
    """
    if len(example.labels) <= max_boxes:
        return example
    kept = largest(example, max_boxes)
    objects = np.flatnonzero(~example.crowd)
    hidden = _covered(example, np.setdiff1d(objects, kept))
    hidden &= ~_covered(example, np.intersect1d(objects, kept))
    image = example.image.copy()
    image[hidden] = _BLANK
    return dataclasses.replace(example.select(kept), image=image)


def left_out(counts: np.ndarray, max_boxes: int) -> str | None:
    """Says how many objects have no room, of how many; None where all have.

    Args:
        counts: [N] objects of each image.
        max_boxes: rows for them.
    """
    over = np.maximum(counts - max_boxes, 0)
    if not over.any():
        return None
    return (
        f"max_boxes is {max_boxes}: {over.sum()} of {counts.sum()} objects are left "
        f"out, in {(over > 0).sum()} of {len(counts)} images; one has {counts.max()}, "
        f"and --data.max-boxes {counts.max()} takes all"
    )


def _covered(example: Example, rows: np.ndarray) -> np.ndarray:
    """Returns which pixels the boxes of these rows touch, [H, W] bool."""
    height, width = example.image.shape[:2]
    covered = np.zeros((height, width), np.bool_)
    corners = np.hstack(
        [np.floor(example.boxes[rows, :2]), np.ceil(example.boxes[rows, 2:])]
    )
    for x1, y1, x2, y2 in np.maximum(corners, 0).astype(int):
        covered[y1:y2, x1:x2] = True
    return covered
