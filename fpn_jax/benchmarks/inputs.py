"""The inputs of the detectors in a row."""

import numpy as np


def photograph(size: tuple[int, int]) -> np.ndarray:
    """Returns a photograph [h, w, 3] of this height and width: uint8, RGB."""
    import cv2
    from sklearn.datasets import load_sample_image

    return cv2.resize(load_sample_image("china.jpg"), size[::-1])


def photographs_of_three_sizes() -> list[np.ndarray]:
    """Returns one lying, one upright and one small: uint8, RGB.

    Without sky, where equal boxes would tie.
    """
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    return [china[160:420], flower[:, 190:430], china[230:360, 300:460]]


def training_batch(canvas: tuple[int, int], size: int = 2) -> dict[str, np.ndarray]:
    """Returns `size` images of a canvas, height and width, with five objects each."""
    random, side = np.random.default_rng(0), min(canvas)
    corners = random.uniform(0, side / 2, (size, 5, 2))
    extents = side * np.exp(random.uniform(np.log(0.05), np.log(0.47), (size, 5, 2)))
    image = photograph(canvas)
    return {
        "images": np.stack([image, image[:, ::-1]] * size)[:size],
        "sizes": np.tile(np.array(canvas, np.int32), (size, 1)),
        "boxes": np.concatenate([corners, corners + extents], -1).astype(np.float32),
        "labels": np.zeros((size, 5), np.int32),
        "valid": np.ones((size, 5), bool),
        "crowd": np.zeros((size, 5), bool),
    }
