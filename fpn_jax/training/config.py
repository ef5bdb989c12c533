"""Every setting of a run, as one tree of frozen dataclasses; the model is a part of it.

The defaults are the default job: Faster R-CNN on the embedded digits. A Linen module is
a frozen dataclass too, so the whole tree is written into the run (`config_file`).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal

import flax.linen as nn
import optax

from fpn_jax.zoo.digits import digits_faster_rcnn


@dataclass(frozen=True)
class DataConfig:
    """What to read, and how."""

    source: str = "digits"  # or a path: COCO, Pascal VOC, YOLO, CSV, TFDS
    train: str = "train"  # the splits of the source
    validation: str = "validation"
    # Leave out training images without an object that is no crowd; for a model of
    # keypoints, without one that has any.
    skip_empty: bool = False
    canvas: tuple[int, int] = (320, 320)  # height, width that the network sees
    # Training images that a turned canvas holds larger: in batches of their own, on it.
    group_by_aspect: bool = False
    batch_size: int = 4  # images of a step, over all devices
    max_boxes: int = 16  # of an image; ground truth is padded to this
    mask_size: int = 112  # pixels of a ground truth mask's sides, in its box
    # Half of the training images left to right. None: of all data but digits, of which
    # the mirror image is no digit.
    flip: bool | None = None
    scale_jitter: tuple[float, float] = (1.0, 1.0)  # random size of the training images
    crop: float = 0.0  # probability of a random part of a training image
    color: float = 0.0  # of another brightness, contrast, saturation and hue
    # Probability of four training images in one, each of half the size: a scale jitter
    # of 1 … 2 goes well with it.
    mosaic: float = 0.0
    mixup: float = 0.0  # probability of the mean of two
    copy_paste: float = 0.0  # of objects of another on top, where there are masks
    unmixed_steps: int = 0  # at the end of the run, without any of these three
    workers: int = 0  # loader processes; 0 reads in a thread of this one
    max_errors: int = 10  # unreadable images before the run gives up


@dataclass(frozen=True)
class OptimizerConfig:
    name: Literal["sgd", "adamw", "muon"] = "muon"
    # Highest learning rate. 4e-3 is for Muon from scratch, with norms in all but the
    # heads: AdamW wants 1e-3, SGD 0.02 for 16 images of COCO, trained weights less.
    learning_rate: float = 4e-3
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4
    decay_norms_and_biases: bool = False
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    milestones: tuple[float, ...] = (0.667, 0.889)  # of "step": shares of the run, x0.1
    warmup_steps: int = 50  # updates
    clip_norm: float | None = None  # largest norm of the whole gradient
    accumulate: int = 1  # steps whose gradients are averaged into one update


OptimizerFunction = Callable[[int], optax.GradientTransformation]
"""A function of a module: `Config(optimizer=my_optimizer)`, given the steps of the run.

Its updates are those of every step; frozen parts get none, whatever it does.
"""


@dataclass(frozen=True)
class TrainConfig:
    steps: int = 700
    # Images of an update for which steps, evaluate_every and the learning rate are
    # given: for others they change in proportion. None: they are as they are.
    reference_batch_size: int | None = None
    seed: int = 0
    parallelism: Literal["jit", "pmap"] = "jit"  # over all devices
    # On GPU the same bits in every run, at a price; on CPU they are the same anyway.
    deterministic: bool = False
    ema_decay: float | None = None  # evaluate and use an average of the parameters
    # To start from: runs, or torchvision's backbone weights, .pth or .safetensors.
    pretrained: tuple[str, ...] = ()
    # Steps in a row that may be skipped because loss or gradient are not finite. 0: the
    # first one stops the run.
    max_skipped: int = 0
    log_every: int = 20  # steps
    evaluate_every: int = 500
    save_every: int = 200
    keep: int = 2  # latest checkpoints kept, besides the best


@dataclass(frozen=True)
class EvaluationConfig:
    batch_size: int = 8  # over all devices
    # Of the checkpoint that is kept: the highest one, the lowest loss.
    best: Literal[
        "AP", "AP50", "AP75", "mask/AP", "keypoint/AP", "AR@100", "AR@1000", "loss"
    ] = "AP"


@dataclass(frozen=True)
class Config:
    model: nn.Module = field(default_factory=digits_faster_rcnn)
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig | OptimizerFunction = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def check_config(config: Config) -> None:
    """Raises ValueError for a number out of its range, by the name of its option."""
    for name in (
        *("data.batch_size", "data.max_boxes", "evaluation.batch_size"),
        *("train.steps", "train.log_every", "train.evaluate_every"),
        *("train.save_every", "train.keep"),
    ):
        if value_of(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more, got {value_of(config, name)}")
    mixing = ("data.mosaic", "data.mixup", "data.copy_paste")
    for name in (*mixing, "data.crop", "data.color"):
        if not 0 <= value_of(config, name) <= 1:
            raise ValueError(f"{name} must be 0 … 1, got {value_of(config, name)}")
    if (reference := config.train.reference_batch_size) is not None and reference < 1:
        raise ValueError(
            f"train.reference_batch_size must be 1 or more, got {reference}"
        )
    for name in ("data.unmixed_steps", "train.max_skipped"):
        if value_of(config, name) < 0:
            raise ValueError(f"{name} must be 0 or more, got {value_of(config, name)}")
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
        if not is_dataclass(config.optimizer):
            raise ValueError(
                "optimizer must be an OptimizerConfig or a function from the number of "
                "steps to an optax.GradientTransformation, got "
                f"{type(config.optimizer).__name__}"
            )
        _check_optimizer(config.optimizer, config.train)


def accumulated(optimizer: OptimizerConfig | OptimizerFunction) -> int:
    """Returns the number of steps of an update; 1 for a user's own optimizer."""
    return 1 if callable(optimizer) else optimizer.accumulate


def _check_optimizer(optimizer: OptimizerConfig, train: TrainConfig) -> None:
    accumulate, milestones = optimizer.accumulate, optimizer.milestones
    if accumulate < 1:
        raise ValueError(f"optimizer.accumulate must be 1 or more, got {accumulate}")
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
