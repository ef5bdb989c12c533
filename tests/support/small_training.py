"""Batches and states of a training that takes no time."""

from functools import partial

import jax
import numpy as np

from fpn_jax.compilation import call_once
from fpn_jax.training.state import create_state

CANVAS = (64, 64)


def batch_of(seed: int, size: int = 8) -> dict[str, np.ndarray]:
    """Returns a batch in which every image has another number of objects."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 40, (size, 4, 2))
    boxes = np.concatenate(
        [corners, corners + random.uniform(6, 24, corners.shape)], -1
    )
    return {
        "images": random.integers(0, 256, (size, *CANVAS, 3), np.uint8),
        "sizes": np.full((size, 2), 64, np.int32),
        "boxes": boxes.astype(np.float32),
        "labels": np.zeros((size, 4), np.int32),
        "valid": np.arange(4) < (np.arange(size) % 5)[:, None],
        "crowd": np.zeros((size, 4), bool),
    }


def initial_state(model, optimizer, *, ema=False):
    init = partial(create_state, model, optimizer, canvas=CANVAS, seed=0, ema=ema)
    return call_once(init)


def difference(a, b) -> float:
    """Returns the largest absolute difference of two trees."""
    pairs = jax.tree.map(lambda x, y: np.abs(np.asarray(x) - np.asarray(y)).max(), a, b)
    return max(jax.tree.leaves(pairs))
