"""Scenes of the embedded data set as the batch of a training step."""

from functools import cache

import cv2
import numpy as np

from fpn_jax.data.digits.scenes import SCENE_SIZE, draw_scene, load_material

MAX_BOXES = 12


@cache
def _material():
    return load_material("train")


def digit_batch(numbers: tuple[int, ...], side: int) -> dict[str, np.ndarray]:
    """Returns these training scenes, shrunk to `side` pixels squared."""
    scenes = [draw_scene(_material(), "train", number) for number in numbers]
    scale = side / SCENE_SIZE
    shape = (len(scenes), MAX_BOXES)
    batch = {
        "images": np.stack([cv2.resize(s.image, (side, side)) for s in scenes]),
        "sizes": np.full((len(scenes), 2), side, np.int32),
        "boxes": np.zeros((*shape, 4), np.float32),
        "labels": np.zeros(shape, np.int32),
        "valid": np.zeros(shape, bool),
        "crowd": np.zeros(shape, bool),
        "masks": np.zeros((*shape, side, side), np.uint8),
        "keypoints": np.zeros((*shape, 3, 3), np.float32),
    }
    for image, scene in enumerate(scenes):
        for row in range(len(scene.labels)):
            mask = scene.masks[row].astype(np.uint8)
            batch["boxes"][image, row] = scene.boxes[row] * scale
            batch["labels"][image, row] = scene.labels[row]
            batch["valid"][image, row] = True
            batch["masks"][image, row] = cv2.resize(
                mask, (side, side), interpolation=cv2.INTER_NEAREST
            )
            batch["keypoints"][image, row] = scene.keypoints[row] * [scale, scale, 1]
    return batch
