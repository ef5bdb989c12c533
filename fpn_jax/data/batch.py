"""The fields of a batch, and how an example becomes one row of it.

A batch of B examples on a canvas of H x W with at most G boxes:

    images         uint8   [B, H, W, 3]  RGB, zero outside of `sizes`
    sizes          int32   [B, 2]        height and width inside the canvas
    boxes          float32 [B, G, 4]     xyxy, canvas pixels
    labels         int32   [B, G]        0 … K-1
    valid          bool    [B, G]        False for padding boxes
    crowd          bool    [B, G]        a region of many objects
    image_ids      int64   [B]           of the source; stays on the host
    example_valid  bool    [B]           False for padding examples (evaluation)
    image_sizes    int32   [B, 2]        height and width before the fit (evaluation)

and where they are asked for:

    masks          uint8   [B, G, M, M]  0 or 1, what lies in the region
    mask_regions   float32 [B, G, 4]     xyxy, canvas pixels: the boxes
    keypoints      float32 [B, G, P, 3]  x, y, canvas pixels; 0 none | 1 hidden | 2 seen
"""

from collections.abc import Sequence

import numpy as np

from fpn_jax.data.bitmaps import crop_masks
from fpn_jax.data.example import Example, KeypointSpec
from fpn_jax.data.excess import largest

Batch = dict[str, np.ndarray]
Row = dict[str, np.ndarray]  # of a batch, without the axis B


def to_canvas(
    example: Example,
    canvas: tuple[int, int],
    max_boxes: int,
    *,
    mask_size: int | None = None,
    keypoints: bool = False,
) -> Row:
    """Returns a row of a batch: the image in the canvas' upper left, G = `max_boxes`.

    Objects keep their order. Of more than G, the G largest are kept; crowd regions, of
    which no loss makes use, only where objects leave room. Boxes without area are left
    out: no anchor could learn them.

    Args:
        mask_size: M, the side of the masks; by default there are none.
        keypoints: whether to give the keypoints.

    Raises:
        ValueError: if the image is larger than the canvas, or the example lacks the
            masks or keypoints that are asked for.
    """
    height, width = example.image.shape[:2]
    if height > canvas[0] or width > canvas[1]:
        raise ValueError(
            f"canvas: {tuple(canvas)} is smaller than {example.name} with "
            f"({height}, {width}); end the transforms with one that fits it"
        )
    images = np.zeros((*canvas, 3), np.uint8)
    images[:height, :width] = example.image
    objects = example.select(largest(example, max_boxes))
    rows = {
        "boxes": objects.boxes,
        "labels": objects.labels,
        "valid": np.ones(len(objects.labels), np.bool_),
        "crowd": objects.crowd,
    }
    if mask_size is not None:
        rows |= _mask_rows(objects, mask_size)
    if keypoints:
        rows["keypoints"] = _required(objects, "keypoints")
    return {
        "images": images,
        "sizes": np.array([height, width], np.int32),
        "image_ids": np.array(example.image_id, np.int64),
        **{name: _padded(row, max_boxes) for name, row in rows.items()},
    }


def padded_sides(size: Sequence[int]) -> tuple[int, int]:
    """Returns height and width rounded up to multiples of 32.

    That is the coarsest stride of the backbones, and torchvision's rule.
    """
    height, width = (-(-int(side) // 32) * 32 for side in size)
    return height, width


def blank(canvas: tuple[int, int], keypoint_spec: KeypointSpec | None) -> Example:
    """Returns a black example without objects, which stands where there is none."""
    keypoints = None
    if keypoint_spec is not None:
        keypoints = np.zeros((0, len(keypoint_spec.names), 3), np.float32)
    return Example(
        image_id=-1,
        name="padding",
        image=np.zeros((*canvas, 3), np.uint8),
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int32),
        crowd=np.zeros(0, np.bool_),
        areas=np.zeros(0, np.float32),
        masks=np.zeros((0, *canvas), np.bool_),
        keypoints=keypoints,
        keypoint_spec=keypoint_spec,
    )


def stack(rows: Sequence[Row]) -> Batch:
    """Returns the batch of these rows."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _mask_rows(objects: Example, mask_size: int) -> Row:
    masks = crop_masks(_required(objects, "masks"), objects.boxes, mask_size)
    return {"masks": masks.astype(np.uint8), "mask_regions": objects.boxes}


def _required(example: Example, name: str) -> np.ndarray:
    if getattr(example, name) is None:
        raise ValueError(f"{name}: asked for, but {example.name} has none")
    return getattr(example, name)


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """The rows, and zeros up to `size` rows."""
    return np.pad(rows, [(0, size - len(rows)), *[(0, 0)] * (rows.ndim - 1)])
