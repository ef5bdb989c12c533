"""The contract of a detector in code; `fpn_jax.detectors` has it in words.

The rest of the package asks a detector for its facts through `facts`, and for nothing
else: it never looks at its class or at the names of its parts.
"""

import inspect
from collections.abc import Callable
from typing import (
    Any,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypedDict,
    Unpack,
)

import flax.linen as nn
import jax

from fpn_jax.detectors.fields import check_names, has, values_of, with_field
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.types import Detections, LossTerm, Targets

Measured = Literal["proposals", "boxes", "masks", "keypoints"]
"""Kinds of results that COCO's metrics measure: proposals by recall, others by AP."""


class Limits(TypedDict, total=False):
    """Limits on the detections of an image; None keeps the detector's own."""

    score_threshold: float | None  # lowest score of a detection
    nms_threshold: float | None  # IoU above which the lower of two boxes is dropped
    max_detections: int | None


class Detector(Protocol):
    """A frozen Linen module from pixels to boxes; see the contract of this room."""

    @property
    def num_classes(self) -> int | None:
        """Number of classes, without a background; None: all objects are of one."""
        ...

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Kinds of metrics for its detections; ("boxes",) where it is left out."""
        ...

    @property
    def frozen(self) -> tuple[str, ...]:
        """Parts of its parameters that no step changes, as paths: "backbone/stem"."""
        ...

    @property
    def pool(self) -> RoIPool | None:
        """The pooling of features of its boxes; None where there is none."""
        ...

    @property
    def first_stage(self) -> nn.Module | None:
        """The head that has anchors of given sizes and ratios; None without one."""
        ...

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> Any:
        """Returns the raw outputs of the heads; creates every variable."""
        ...

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
        ...

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the final boxes of each image, by falling score."""
        ...

    def with_thresholds(self, **limits: Unpack[Limits]) -> Self:
        """Returns the detector with other limits on its detections; None keeps one."""
        ...


class Facts(NamedTuple):
    """The facts of a detector that the rest of the package knows."""

    num_classes: int | None
    measures: tuple[Measured, ...] = ("boxes",)
    frozen: tuple[str, ...] = ()
    first_stage: nn.Module | None = None
    pool: RoIPool | None = None


def facts(detector: nn.Module) -> Facts:
    """Returns the facts of a detector, with the defaults of what it leaves out.

    Raises ValueError where it breaks the contract: no `loss`, `detect` or
    `num_classes`, or a string for a tuple of names.
    """
    check_detector(detector)
    given = {
        name: getattr(detector, name) for name in Facts._fields if has(detector, name)
    }
    for name in ("measures", "frozen"):
        check_names(f"model.{name}", given.get(name))
    return Facts(**given)


def with_thresholds(detector: nn.Module, **limits: Unpack[Limits]) -> nn.Module:
    """Returns the detector with other limits on its detections; None keeps one.

    Raises ValueError for a limit that it has no way to change.
    """
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        return detector
    kind = type(detector).__name__
    if not has(detector, "with_thresholds"):
        raise ValueError(
            f"{min(given)}: {kind} has no with_thresholds, by which it could be set"
        )
    if unknown := lacking(detector.with_thresholds, *given):
        raise ValueError(f"{unknown}: {kind}.with_thresholds has no such argument")
    return detector.with_thresholds(**given)


def with_dtype(detector: nn.Module, dtype: str) -> nn.Module:
    """Returns the detector with another type that its network computes in.

    Raises ValueError where neither it nor a part of it has a field for that.
    """
    if not values_of(detector, "dtype"):
        kind = f"{type(detector).__name__} and its parts"
        raise ValueError(f"dtype: {kind} have no field of that name")
    return with_field(detector, "dtype", dtype)


def is_detector(model: nn.Module) -> bool:
    """Whether a model detects: the backbone of a classifier alone does not."""
    return has(model, "detect")


def check_detector(detector: nn.Module) -> None:
    """Raises ValueError where a method or fact that nothing can replace is missing."""
    kind = type(detector).__name__
    for name in ("__call__", "loss", "detect", "num_classes"):
        if not has(detector, name):
            raise ValueError(f"model: {kind} has no {name}, which a detector must have")
    for name, needed in (("__call__", ["train"]), ("loss", ["keys", "train"])):
        if argument := lacking(getattr(type(detector), name), *needed):
            raise ValueError(f"model: {kind}.{name} has no argument {argument!r}")


def lacking(function: Callable, *arguments: str) -> str | None:
    """Returns the first of these arguments that a function does not take by name."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return next((name for name in arguments if name not in parameters), None)
