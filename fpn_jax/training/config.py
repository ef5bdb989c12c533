"""Every setting of a run, as one tree of frozen dataclasses; the model is a part of it.

The defaults are the default job: Faster R-CNN on the embedded digits. A Linen module is
a frozen dataclass too, so the tree goes to JSON and back without the experiment file.
"""

import dataclasses
import functools
import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import jax

from fpn_jax.training.files import replace_text
from fpn_jax.zoo.digits import digits_faster_rcnn

_PACKAGE = __name__.partition(".")[0]


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
    name: Literal["sgd", "adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4
    decay_norms_and_biases: bool = False
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    milestones: tuple[float, ...] = (0.667, 0.889)  # of "step": shares of the run, x0.1
    warmup_steps: int = 100  # updates
    clip_norm: float | None = None  # largest norm of the whole gradient
    accumulate: int = 1  # steps whose gradients are averaged into one update


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
    # From scratch, with norms in all but the heads; trained weights want less.
    optimizer: OptimizerConfig = OptimizerConfig(
        name="muon", learning_rate=4e-3, warmup_steps=50
    )
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


def to_json(config: Config) -> str:
    """Returns the config as indented JSON; every dataclass names its class."""
    return json.dumps(_encode(config), indent=2) + "\n"


def from_json(text: str) -> Config:
    """Returns the config written by `to_json`; only classes of this package are built.

    Raises ValueError for a foreign class or a field that its class does not have.
    """
    config = _decode(json.loads(text))
    if not isinstance(config, Config):
        raise ValueError(f"config: expected a {Config.__name__}, got {config!r:.60}")
    return config


def check_config(config: Config) -> None:
    """Raises ValueError for a number out of its range, by the name of its option."""
    for name in (
        *("data.batch_size", "data.max_boxes", "evaluation.batch_size"),
        *("train.steps", "train.log_every", "train.evaluate_every"),
        *("train.save_every", "train.keep", "optimizer.accumulate"),
    ):
        if _value(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more, got {_value(config, name)}")
    mixing = ("data.mosaic", "data.mixup", "data.copy_paste")
    for name in (*mixing, "data.crop", "data.color"):
        if not 0 <= _value(config, name) <= 1:
            raise ValueError(f"{name} must be 0 … 1, got {_value(config, name)}")
    if (reference := config.train.reference_batch_size) is not None and reference < 1:
        raise ValueError(
            f"train.reference_batch_size must be 1 or more, got {reference}"
        )
    for name in ("data.unmixed_steps", "train.max_skipped"):
        if _value(config, name) < 0:
            raise ValueError(f"{name} must be 0 or more, got {_value(config, name)}")
    if any(_value(config, name) for name in mixing) and (
        config.data.unmixed_steps >= config.train.steps
    ):
        raise ValueError(
            f"data.unmixed_steps is {config.data.unmixed_steps}, all of the "
            f"{config.train.steps} of train.steps: no image would be mixed"
        )
    check_canvas("data.canvas", config.data.canvas)
    if config.train.deterministic and config.train.parallelism == "pmap":
        raise ValueError("train.deterministic needs train.parallelism jit, got pmap")
    if config.train.max_skipped and config.optimizer.accumulate > 1:
        raise ValueError(
            f"train.max_skipped is {config.train.max_skipped}, which needs an update "
            f"at every step; optimizer.accumulate is {config.optimizer.accumulate}"
        )
    milestones = config.optimizer.milestones
    if config.optimizer.schedule == "step" and milestones:
        updates = config.train.steps // config.optimizer.accumulate
        if (fall := int(milestones[0] * updates)) <= config.optimizer.warmup_steps:
            raise ValueError(
                f"optimizer.warmup_steps is {config.optimizer.warmup_steps}, the first "
                f"of optimizer.milestones is at {fall} of {updates} updates: the "
                "learning rate would never be reached"
            )
    if config.optimizer.accumulate > config.train.steps:
        raise ValueError(
            f"optimizer.accumulate is {config.optimizer.accumulate}, more than the "
            f"{config.train.steps} of train.steps: no update would be made"
        )


def check_canvas(name: str, canvas: tuple[int, int]) -> None:
    """Raises ValueError for sides that the levels of a pyramid do not divide."""
    if any(side < 32 or side % 32 for side in canvas):
        raise ValueError(
            f"{name} must have sides that are multiples of 32, got {canvas}"
        )


def check_resumable(config: Config, run: str | Path) -> None:
    """Raises ValueError where `run` was begun with what cannot change on the way.

    Its weights belong to a model, and the position in its data to a source, batches
    and a seed.
    """
    if not (Path(run) / "config.json").exists():
        return
    before = load_config(run)
    if (Path(run) / "checkpoints" / "0").exists():
        raise ValueError(
            f"workdir: {str(run)!r} holds converted weights, no training to continue; "
            f"start a run from them by --train.pretrained {run}"
        )
    if before.model != config.model:
        raise ValueError(f"workdir: {str(run)!r} holds a run of another model")
    names = ["data.source", "data.train", "data.skip_empty", "data.batch_size"]
    names += ["data.group_by_aspect", "train.seed"]
    names += ["data.canvas"] if config.data.group_by_aspect else []  # says who stands
    for name in names:
        old, new = _value(before, name), _value(config, name)
        if old != new:
            raise ValueError(
                f"workdir: {str(run)!r} was begun with {name} {old!r}, got {new!r}"
            )


def write_config(config: Config, run: str | Path) -> None:
    """Writes the config into a run directory, on the first process."""
    if jax.process_index() == 0:
        Path(run).mkdir(parents=True, exist_ok=True)
        replace_text(Path(run) / "config.json", to_json(config))


def load_config(run: str | Path) -> Config:
    """Returns the config of a run directory."""
    path = Path(run) / "config.json"
    try:
        return from_json(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"run: no config.json in {str(run)!r}; not a run?") from None
    except (ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None


def _value(config: Config, name: str) -> Any:
    """Returns the value of a dotted name."""
    return functools.reduce(getattr, name.split("."), config)


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        cls = type(value)
        fields = {
            f.name: _encode(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if f.init and f.name not in ("parent", "name" if _is_module(cls) else "")
        }
        return {"class": f"{cls.__module__}.{cls.__qualname__}", **fields}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    module, _, name = value["class"].rpartition(".")
    if module.partition(".")[0] != _PACKAGE:
        raise ValueError(f"class {value['class']!r} is not of {_PACKAGE}")
    cls = getattr(importlib.import_module(module), name)
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"class {value['class']!r} is not a config or a module")
    return cls(**{k: _decode(v) for k, v in value.items() if k != "class"})


def _is_module(cls: type) -> bool:
    return issubclass(cls, nn.Module)
