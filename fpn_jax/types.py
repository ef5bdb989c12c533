"""The containers that travel between the rooms of the package.

All are frozen pytrees of arrays with static shapes; `*b` is any number of batch axes.
Rows that are padding are marked by `valid`, and padding never changes a result.
Boxes are xyxy, float32, in pixels of the canvas (the padded network input).
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
from flax.struct import PyTreeNode
from jax import export

Pyramid = dict[int, jax.Array]
"""Level l -> features [B, H / 2**l, W / 2**l, C]; {2: C2, …, 5: C5} in the paper."""


Array = Any
"""jax.Array in a program, and np.ndarray on the host, where each is as good."""


Container = TypeVar("Container", bound=type)


def exportable(container: Container) -> Container:
    """Lets a pytree of arrays be in what `jax.export` writes to a file.

    A process that reads the file must have imported the class, by `fpn_jax.types` for
    those of this file. Imported anew, a class keeps its first entry.
    """
    with contextlib.suppress(ValueError):
        _register(container)
    return container


def _register(container: type) -> None:
    name = f"fpn_jax.{container.__name__}"
    if issubclass(container, tuple):
        export.register_namedtuple_serialization(container, serialized_name=name)
    else:
        export.register_pytree_node_serialization(
            container,
            serialized_name=name,
            serialize_auxdata=lambda _: b"",  # no field is static
            deserialize_auxdata=lambda _: (),
        )


@exportable
class Targets(PyTreeNode):
    """Ground truth of a batch, padded to G boxes per image.

    - `boxes [B, G, 4]`: x1, y1, x2, y2 in pixels of the canvas.
    - `labels [B, G]`: int32, 0 … K-1 of K classes. There is no class of background.
    - `valid [B, G]`: False where a row is padding.
    - `crowd [B, G]`: True for a region of many objects, which no box is trained on.
    - `masks [B, G, h, w]`, `mask_regions [B, G, 4]`, `keypoints [B, G, P, 3]`: for the
      heads that are trained on them.
    """

    boxes: Array  # [*b, G, 4] xyxy, pixels
    labels: Array  # [*b, G] int32, 0 … K-1
    valid: Array  # [*b, G] bool, False for padding
    crowd: Array  # [*b, G] bool, a region of many objects: never a positive
    # Where the data has them. A bitmap shows one region of the canvas: all of it, or
    # the object's box at a fixed resolution, which is much smaller.
    masks: Array | None = None  # [*b, G, h, w] uint8, 0 or 1
    mask_regions: Array | None = None  # [*b, G, 4] xyxy, pixels
    keypoints: Array | None = None  # [*b, G, P, 3] x, y, 0 none | 1 hidden | 2 seen


def targets_of(batch: Mapping[str, jax.Array]) -> Targets:
    """Returns the ground truth in a batch that also holds images and more."""
    names = {field.name for field in dataclasses.fields(Targets)}
    return Targets(**{name: batch[name] for name in names & batch.keys()})


@exportable
class Proposals(PyTreeNode):
    """Class-agnostic boxes of a batch, by falling score."""

    boxes: Array  # [*b, N, 4] xyxy, pixels
    scores: Array  # [*b, N] float32, objectness in 0 … 1
    valid: Array  # [*b, N] bool


@exportable
class Detections(PyTreeNode):
    """Final boxes of a batch, by falling score."""

    boxes: Array  # [*b, D, 4] xyxy, pixels
    scores: Array  # [*b, D] float32
    labels: Array  # [*b, D] int32, 0 … K-1
    valid: Array  # [*b, D] bool
    # From the heads that give them.
    masks: Array | None = None  # [*b, D, M, M] float32, probabilities in the box
    keypoints: Array | None = None  # [*b, D, P, 2] x, y, pixels
    keypoint_scores: Array | None = None  # [*b, D, P] float32, logits at the peaks


@exportable
class LossTerm(PyTreeNode):
    """A summed loss and what it is divided by.

    The training step adds both over the devices before it divides, so one code path is
    right on one device, under jit over a mesh, and under pmap.
    """

    total: Array  # [] float32
    count: Array  # [] float32; the total is divided by 1 where it is less
