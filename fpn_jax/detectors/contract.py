"""The contract of a detector in code; `fpn_jax.detectors` has it in words.

The rest of the package asks a detector for its facts through `facts`, and for nothing
else: it never looks at its class or at the names of its parts.
"""

import inspect
from typing import Any, Literal, NamedTuple, Protocol, Self

import flax.linen as nn
import jax

from fpn_jax.types import Detections, LossTerm, Targets

Measured = Literal["proposals", "boxes", "masks", "keypoints"]
"""What COCO's metrics can be taken of: average recall of proposals, or precision."""


class Detector(Protocol):
    """A frozen Linen module from pixels to boxes; see the contract of this room."""

    @property
    def num_classes(self) -> int | None:
        """Number of classes, without a background; None: all objects are of one."""

    @property
    def measures(self) -> tuple[Measured, ...]:
        """What its detections are measured by; ("boxes",) where it is left out."""

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parts of its parameters that no step changes, as paths: "backbone/stem"."""

    @property
    def first_stage(self) -> nn.Module | None:
        """The head that has anchors of given sizes and ratios; None without one."""

    @property
    def pool(self) -> "Pool | None":
        """Levels that features of boxes are cut out of; None: there is no box head."""

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> Any:
        """Returns the raw outputs of the heads; creates every variable."""

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of the loss; `keys [B]` draw each image's samples."""

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the final boxes of each image, by falling score."""

    def with_thresholds(
        self,
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> Self:
        """Returns the detector with other limits on its detections; None keeps one."""


class Pool(NamedTuple):
    """Which level of the pyramid the features of a box are cut out of (FPN, eq. 1)."""

    levels: tuple[int, ...]
    canonical_size: float


class Facts(NamedTuple):
    """What the rest of the package knows of a detector."""

    num_classes: int | None
    measures: tuple[Measured, ...] = ("boxes",)
    frozen: tuple[str, ...] = ()
    first_stage: nn.Module | None = None
    pool: Pool | None = None


def facts(detector: nn.Module) -> Facts:
    """Returns the facts of a detector, with the defaults of what it leaves out.

    Raises ValueError where it breaks the contract: no `loss`, `detect` or
    `num_classes`.
    """
    check_detector(detector)
    given = {
        name: getattr(detector, name)
        for name in Facts._fields
        if hasattr(detector, name)
    }
    return Facts(**given)


def is_detector(model: nn.Module) -> bool:
    """Whether a model detects: the backbone of a classifier alone does not."""
    return hasattr(model, "detect")


def check_detector(detector: nn.Module) -> None:
    """Raises ValueError where a method or fact that nothing can replace is missing."""
    kind = type(detector).__name__
    for name in ("loss", "detect", "num_classes"):
        if not hasattr(detector, name):
            raise ValueError(f"model: {kind} has no {name}, which a detector must have")
    for name in ("__call__", "loss"):
        parameters = inspect.signature(getattr(type(detector), name)).parameters
        for argument in ("train",) if name == "__call__" else ("keys", "train"):
            if argument not in parameters:
                raise ValueError(f"model: {kind}.{name} has no argument {argument!r}")
