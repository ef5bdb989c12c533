"""A result that is known by heart."""

import numpy as np

from fpn_jax.data.example import Category
from fpn_jax.results import Result
from fpn_jax.types import Detections

PEOPLE = (Category(1, "person"), Category(18, "dog"), Category(44, "bottle"))
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
LOGITS = np.float32([[1, 2], [3, 4], [5, 6]])
BOXES = np.float32([[1.5, 2, 21, 30.25], [30, 5, 58, 39], [0, 0, 8, 8]])


def result(*, masks=False, keypoints=False, num=3, **fields) -> Result:
    """Two people and a dog between them by score."""
    inside = np.zeros((3, 40, 60), bool)
    for mask, (x1, y1, x2, y2) in zip(inside, BOXES.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    detections = Detections(
        boxes=BOXES[:num],
        scores=np.float32([0.9, 0.75, 0.3])[:num],
        labels=np.int32([0, 1, 0])[:num],
        valid=np.ones(num, bool),
        masks=inside[:num] if masks else None,
        keypoints=BOXES.reshape(3, 2, 2)[:num] if keypoints else None,
        keypoint_scores=np.float32([[1, 2], [3, 4], [5, 6]])[:num]
        if keypoints
        else None,
    )
    return Result(detections, (40, 60), PEOPLE, **({"given": IMAGE} | fields))
