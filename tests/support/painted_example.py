"""An example whose pixels and masks say where its boxes are."""

import numpy as np

from fpn_jax.data.example import Example


def painted_example(
    boxes: list[list[int]], height: int = 120, width: int = 160, **changes
) -> Example:
    """Boxes painted in their own brightness on black: 100, 110, 120 …."""
    image = np.zeros((height, width, 3), np.uint8)
    masks = np.zeros((len(boxes), height, width), np.bool_)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        image[y1:y2, x1:x2] = 100 + 10 * number
        masks[number, y1:y2, x1:x2] = True
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    fields = {
        "image_id": 1,
        "name": "painted",
        "image": image,
        "boxes": boxes,
        "labels": np.arange(len(boxes), dtype=np.int32),
        "crowd": np.zeros(len(boxes), np.bool_),
        "areas": (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        "masks": masks,
    }
    return Example(**fields | changes)
