"""Every setting of a run, as one tree of frozen dataclasses; the model is a part of it.

The defaults are the default job: Faster R-CNN on the embedded digits. A Linen module is
a frozen dataclass too, so the whole tree is written into the run (`config_file`).
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Literal

import flax.linen as nn
import optax

from fpn_jax.data.canvases import BoxScale
from fpn_jax.loggers.contract import LoggerName
from fpn_jax.zoo.digits import digits_faster_rcnn


@dataclass(frozen=True)
class DataConfig:
    """What to read, and how."""

    source: str = "digits"  # Path of a data set in any known form, or digits.
    train: str = "train"  # Name of the split to train on.
    validation: str = "validation"  # Name of the split to evaluate on.
    # Leave out training images without an object, or, for a model of keypoints, without
    # an annotated keypoint; crowd regions do not count.
    skip_empty: bool = False
    # Height and width that the network sees. By default, without an experiment, images
    # of a data set get the shape that they fill most.
    canvas: tuple[int, int] = (320, 320)
    # How boxes follow an image whose sides are rounded down to whole pixels: each side
    # by its own ratio, or both by the scale before rounding, as in YOLOX.
    box_scale: BoxScale = "sides"
    # Batch portrait images separately on the transposed canvas, where they fit larger.
    group_by_aspect: bool = False
    # Images of a step, over all devices together. The word auto takes as many as the
    # free memory holds, up to 64.
    batch_size: int = 4
    # Most objects of an image; those beyond it are painted over. By default as many as
    # the fullest image has, at least 16 and at most 256, or 100 where the data set does
    # not say.
    max_boxes: int | None = None
    mask_size: int = 112  # Pixels along a side of a ground truth mask, in its box.
    # Mirror half of the training images. By default all data but digits are mirrored.
    flip: bool | None = None
    # Range of the random size of training images, where 1 fits an image into the
    # canvas; 1 2 goes well with mosaics.
    scale_jitter: tuple[float, float] = (1.0, 1.0)
    crop: float = 0.0  # Probability of training on a random part of an image.
    # Probability of changing brightness, contrast, saturation and hue of an image.
    color: float = 0.0
    # Probability of joining four training images in one, each at half its size.
    mosaic: float = 0.0
    mixup: float = 0.0  # Probability of training on the mean of two images.
    # Probability of pasting objects of another image (needs masks).
    copy_paste: float = 0.0
    # Steps at the end of the run without mosaic, mix-up and copy-paste.
    unmixed_steps: int = 0
    workers: int = 0  # Processes that read images; 0 reads in threads of this process.
    max_errors: int = 10  # Unreadable images that are skipped before the run gives up.


RATES = {"muon": 4e-3, "adamw": 1e-3, "sgd": 1e-3}
"""Highest learning rate of each optimizer where none is given.

Muon's and AdamW's are for the digits from scratch; recipes give SGD one of their own.
"""


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer with its learning rate over the run."""

    # Optimizer: SGD or AdamW of optax, or Muon.
    name: Literal["sgd", "adamw", "muon"] = "muon"
    # Highest learning rate. Where none is set it is 0.004 for Muon and 0.001 for AdamW
    # and SGD.
    learning_rate: float | None = None
    momentum: float = 0.9  # Momentum of SGD.
    weight_decay: float = 1e-4  # Strength of the weight decay.
    # Apply the weight decay to all parameters, not to kernels alone.
    decay_norms_and_biases: bool = False
    # Course of the learning rate after the warm-up.
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    # Shares of the run after which the schedule "step" divides the rate by 10.
    milestones: tuple[float, ...] = (0.667, 0.889)
    warmup_steps: int = 50  # Updates in which the learning rate rises at the start.
    # Largest norm of the gradient, by default without a limit.
    clip_norm: float | None = None
    accumulate: int = 1  # Steps whose gradients are averaged into one update.

    @property
    def peak(self) -> float:
        """Highest learning rate: the one that is given, or else the optimizer's own."""
        given = self.learning_rate
        return RATES[self.name] if given is None else given


OptimizerFunction = Callable[[int], optax.GradientTransformation]
"""A function of a module: `Config(optimizer=my_optimizer)`, given the steps of the run.

It is called at every step, and its updates of frozen parts are dropped.
"""


@dataclass(frozen=True)
class TrainConfig:
    """How long to train, on what, and what to keep of it."""

    steps: int = 700  # Training steps of the whole run.
    # Hours after which this start of the run ends, evaluated and saved; it can be
    # continued. The time is looked at where losses are logged.
    hours: float | None = None
    # Evaluations in a row without a better value of evaluation.best after which the run
    # ends.
    patience: int | None = None
    # Images of an update that the steps, the evaluation interval and the learning rate
    # are meant for; with other batches they change in proportion. By default they stay
    # as they are.
    reference_batch_size: int | None = None
    seed: int = 0  # Seed of initial weights, batches and samples.
    # Transformation that runs a step on all devices: jit or pmap.
    parallelism: Literal["jit", "pmap"] = "jit"
    # Give the same bits in every run on GPU, at a price; a CPU always does.
    deterministic: bool = False
    # Decay of the moving average of the parameters that is evaluated and used, by
    # default without an average.
    ema_decay: float | None = None
    # Weights to start from: runs, names of published models (fpn-jax models), or files
    # of torchvision's classifiers (.pth, .safetensors).
    pretrained: tuple[str, ...] = ()
    # Steps in a row that may be skipped because loss or gradient are not finite; with 0
    # the first one stops the run.
    max_skipped: int = 0
    # Steps that one call does on the devices, where the host would be in the way. The
    # call ends early where losses are logged.
    steps_per_call: int = 1
    # Loggers that get the numbers and pictures of the run besides TensorBoard: wandb,
    # mlflow. Their own environment variables say where and in which project.
    loggers: tuple[LoggerName, ...] = ()
    log_every: int = 20  # Steps between two lines of losses.
    evaluate_every: int = 500  # Steps between two evaluations.
    save_every: int = 200  # Steps between two checkpoints.
    keep: int = 2  # Latest checkpoints that are kept besides the best.


BestMetric = Literal[
    "AP", "AP50", "AP75", "mask/AP", "keypoint/AP", "AR@100", "AR@1000", "loss"
]
"""Metrics that a checkpoint can be chosen by, where the model is measured by them."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How the validation data is evaluated."""

    batch_size: int = 8  # Images that are evaluated at once, over all devices.
    # Metric that decides which checkpoint is kept as best.
    best: BestMetric = "AP"


@dataclass(frozen=True)
class Config:
    """Every setting of a run; the model is the Linen module itself."""

    # Detector, which is a Linen module with all its parts.
    model: nn.Module = field(default_factory=digits_faster_rcnn)
    # Data set, and how images and batches are made of it.
    data: DataConfig = DataConfig()
    # Optimizer, and its learning rate over the run.
    optimizer: OptimizerConfig | OptimizerFunction = OptimizerConfig()
    # Length of the training, and what is kept of it.
    train: TrainConfig = TrainConfig()
    # Evaluation on the validation data.
    evaluation: EvaluationConfig = EvaluationConfig()


Range = tuple[str, Callable[[Any], bool]]  # in words, and a test

_COUNT: Range = ("1 or more", lambda x: x >= 1)
_ANY_COUNT: Range = ("0 or more", lambda x: x >= 0)
_SHARE: Range = ("0 … 1", lambda x: 0 <= x <= 1)
_BELOW_1: Range = ("0 or more and below 1", lambda x: 0 <= x < 1)
_NOT_NEGATIVE: Range = ("a finite number, 0 or more", lambda x: 0 <= x < math.inf)
_POSITIVE: Range = ("a finite number above 0", lambda x: 0 < x < math.inf)

# By the names of options; NaN fits nowhere, None everywhere, and of a tuple all must.
_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("data.batch_size", "data.max_boxes", "data.mask_size"), _COUNT),
    **dict.fromkeys(("data.workers", "data.max_errors"), _ANY_COUNT),
    **dict.fromkeys(("data.mosaic", "data.mixup", "data.copy_paste"), _SHARE),
    **dict.fromkeys(("data.crop", "data.color"), _SHARE),
    "data.scale_jitter": _POSITIVE,
    "data.unmixed_steps": _ANY_COUNT,
    **dict.fromkeys(
        ("optimizer.learning_rate", "optimizer.weight_decay"), _NOT_NEGATIVE
    ),
    "optimizer.momentum": _BELOW_1,
    "optimizer.milestones": _SHARE,
    "optimizer.warmup_steps": _ANY_COUNT,
    "optimizer.clip_norm": _POSITIVE,
    "optimizer.accumulate": _COUNT,
    **dict.fromkeys(("train.steps", "train.reference_batch_size"), _COUNT),
    **dict.fromkeys(("train.log_every", "train.evaluate_every"), _COUNT),
    **dict.fromkeys(("train.steps_per_call", "train.patience"), _COUNT),
    "train.hours": _POSITIVE,
    **dict.fromkeys(("train.save_every", "train.keep"), _COUNT),
    "train.seed": ("0 … 4294967295", lambda x: 0 <= x < 2**32),
    "train.max_skipped": _ANY_COUNT,
    "train.ema_decay": _BELOW_1,
    "evaluation.batch_size": _COUNT,
}


def check_ranges(config: Config) -> None:
    """Raises ValueError for a number out of its range, by the name of its option."""
    if not callable(config.optimizer) and not is_dataclass(config.optimizer):
        raise ValueError(
            "optimizer must be an OptimizerConfig or a function from the number of "
            "steps to an optax.GradientTransformation, got "
            f"{type(config.optimizer).__name__}"
        )
    for name, (words, fits) in _RANGES.items():
        if name.startswith("optimizer.") and callable(config.optimizer):
            continue
        value = value_of(config, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if value is not None and not all(map(fits, numbers)):
            raise ValueError(f"{name} must be {words}, got {value}")


def check_config(config: Config) -> None:
    """Raises ValueError for a number out of its range, or settings that do not fit."""
    check_ranges(config)
    low, high = config.data.scale_jitter
    if low > high:
        raise ValueError(f"data.scale_jitter must rise, got {(low, high)}")
    mixing = ("data.mosaic", "data.mixup", "data.copy_paste")
    if any(value_of(config, name) for name in mixing) and (
        config.data.unmixed_steps >= config.train.steps
    ):
        raise ValueError(
            f"data.unmixed_steps is {config.data.unmixed_steps}, all of the "
            f"{config.train.steps} of train.steps: no image would be mixed"
        )
    check_canvas("data.canvas", config.data.canvas)
    if config.train.deterministic and config.train.parallelism == "pmap":
        raise ValueError("train.deterministic needs train.parallelism jit, got pmap")
    if not callable(config.optimizer):
        _check_optimizer(config.optimizer, config.train)


def with_canvas(config: Config, canvas: tuple[int, int]) -> Config:
    """Returns the config with another canvas."""
    return replace(config, data=replace(config.data, canvas=canvas))


def accumulated(optimizer: OptimizerConfig | OptimizerFunction) -> int:
    """Returns the number of steps of an update; 1 for a user's own optimizer."""
    return 1 if callable(optimizer) else optimizer.accumulate


def _check_optimizer(optimizer: OptimizerConfig, train: TrainConfig) -> None:
    accumulate, milestones = optimizer.accumulate, optimizer.milestones
    if train.max_skipped and accumulate > 1:
        raise ValueError(
            f"train.max_skipped is {train.max_skipped}, which needs an update at every "
            f"step; optimizer.accumulate is {accumulate}"
        )
    if optimizer.schedule == "step" and milestones:
        updates = train.steps // accumulate
        if (fall := int(milestones[0] * updates)) <= optimizer.warmup_steps:
            raise ValueError(
                f"optimizer.warmup_steps is {optimizer.warmup_steps}, the first of "
                f"optimizer.milestones is at {fall} of {updates} updates: the "
                "learning rate would never be reached"
            )
    if accumulate > train.steps:
        raise ValueError(
            f"optimizer.accumulate is {accumulate}, more than the {train.steps} of "
            "train.steps: no update would be made"
        )


def check_canvas(name: str, canvas: tuple[int, int]) -> None:
    """Raises ValueError for sides that the levels of a pyramid do not divide."""
    if any(side < 32 or side % 32 for side in canvas):
        raise ValueError(
            f"{name} must have sides that are multiples of 32, got {canvas}"
        )


def value_of(config: Config, name: str) -> Any:
    """Returns the value of a dotted name, such as "train.steps"."""
    return functools.reduce(getattr, name.split("."), config)
