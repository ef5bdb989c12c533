"""The containers that travel between the rooms of the package.

All are frozen pytrees of arrays with static shapes; `*b` is any number of batch axes.
Rows that are padding are marked by `valid`, and padding never changes a result.
Boxes are xyxy, float32, in pixels of the canvas (the padded network input).
"""

import dataclasses
from collections.abc import Mapping

import flax.struct
import jax

Pyramid = dict[int, jax.Array]
"""Level l -> features [B, H / 2**l, W / 2**l, C]; {2: C2, …, 5: C5} in the paper."""


@flax.struct.dataclass
class Targets:
    """Ground truth of a batch, padded to G boxes per image."""

    boxes: jax.Array  # [*b, G, 4] xyxy, pixels
    labels: jax.Array  # [*b, G] int32, 0 … K-1
    valid: jax.Array  # [*b, G] bool, False for padding
    crowd: jax.Array  # [*b, G] bool, a region of many objects: never a positive
    # Where the data has them. A bitmap shows one region of the canvas: all of it, or
    # the object's box at a fixed resolution, which is much smaller.
    masks: jax.Array | None = None  # [*b, G, h, w] uint8, 0 or 1
    mask_regions: jax.Array | None = None  # [*b, G, 4] xyxy, pixels
    keypoints: jax.Array | None = None  # [*b, G, P, 3] x, y, 0 none | 1 hidden | 2 seen


def targets_of(batch: Mapping[str, jax.Array]) -> Targets:
    """Returns the ground truth in a batch that also holds images and more."""
    names = {field.name for field in dataclasses.fields(Targets)}
    return Targets(**{name: batch[name] for name in names & batch.keys()})


@flax.struct.dataclass
class Proposals:
    """Class-agnostic boxes of a batch, by falling score."""

    boxes: jax.Array  # [*b, N, 4] xyxy, pixels
    scores: jax.Array  # [*b, N] float32, objectness in 0 … 1
    valid: jax.Array  # [*b, N] bool


@flax.struct.dataclass
class Detections:
    """Final boxes of a batch, by falling score."""

    boxes: jax.Array  # [*b, D, 4] xyxy, pixels
    scores: jax.Array  # [*b, D] float32
    labels: jax.Array  # [*b, D] int32, 0 … K-1
    valid: jax.Array  # [*b, D] bool
    # From the heads that give them.
    masks: jax.Array | None = None  # [*b, D, M, M] float32, probabilities in the box
    keypoints: jax.Array | None = None  # [*b, D, P, 2] x, y, pixels
    keypoint_scores: jax.Array | None = None  # [*b, D, P] float32, logits at the peaks


@flax.struct.dataclass
class LossTerm:
    """A summed loss and what it is divided by.

    The training step adds both over the devices before it divides, so one code path is
    right on one device, under jit over a mesh, and under pmap.
    """

    total: jax.Array  # [] float32
    count: jax.Array  # [] float32; the total is divided by 1 where it is less
