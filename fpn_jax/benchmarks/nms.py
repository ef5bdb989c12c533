"""Non-maximum suppression of one level of proposals."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.benchmarks.setting import finished, peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.ops.nms import nms
from fpn_jax.parity.layouts import to_numpy
from fpn_jax.parity.live_torchvision import import_torchvision

_NUM_BOXES = 1000  # what an RPN keeps of a level in testing
_NUM_OBJECTS = 40


def nms_contest(
    peer: bool, *, boxes: Literal["random", "clustered"], threshold: float
) -> Contest:
    """Suppression of 1000 boxes by fpn_jax.ops.nms and by torchvision.ops.nms."""
    rng = np.random.default_rng(0)
    corners = (_random_boxes if boxes == "random" else _clustered_boxes)(rng)
    scores = rng.permutation(_NUM_BOXES).astype(np.float32) / _NUM_BOXES  # no ties

    ours = jax.jit(partial(nms, iou_threshold=threshold))
    arguments = jnp.array(corners), jnp.array(scores), jnp.ones(_NUM_BOXES, bool)
    contestants = {OURS: lambda: ours(*arguments).block_until_ready()}
    if not peer:
        return Contest(contestants, runs=40)

    torch, torchvision = import_torchvision(compiled=True)
    tensors = (torch.tensor(x, device=peer_device()) for x in (corners, scores))
    theirs = finished(partial(torchvision.ops.nms, *tensors, threshold))
    contestants["torchvision"] = theirs
    kept = np.zeros(_NUM_BOXES, bool)
    kept[to_numpy(theirs())] = True
    difference = float(np.mean(kept != np.asarray(ours(*arguments))))
    return Contest(contestants, runs=40, difference=difference)


def _random_boxes(rng: np.random.Generator) -> np.ndarray:
    """Boxes of 16 … 256 px anywhere on 1333 x 800: few overlap."""
    centers = rng.uniform((0, 0), (1333, 800), (_NUM_BOXES, 2))
    return _xyxy(centers, 2 ** rng.uniform(4, 8, (_NUM_BOXES, 2)))


def _clustered_boxes(rng: np.random.Generator) -> np.ndarray:
    """25 jittered boxes around each of 40 objects, as a trained RPN gives."""
    centers = rng.uniform((0, 0), (1333, 800), (_NUM_OBJECTS, 2))
    sides = 2 ** rng.uniform(5, 8, (_NUM_OBJECTS, 2))
    copies = _NUM_BOXES // _NUM_OBJECTS
    centers, sides = centers.repeat(copies, axis=0), sides.repeat(copies, axis=0)
    centers = centers + sides * rng.normal(0, 0.1, sides.shape)
    return _xyxy(centers, sides * np.exp(rng.normal(0, 0.15, sides.shape)))


def _xyxy(centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    return boxes.astype(np.float32)
