"""Settings that the data decides where nobody has given them."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import flax.linen as nn

from fpn_jax.data.canvases import best_canvas
from fpn_jax.data.example import Source
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import values_of, with_field
from fpn_jax.training.config import Config, value_of, with_canvas

CLASSES = "model.classes"  # of all heads, and of their keypoints
CANVAS = "data.canvas"
STEPS = "train.steps"
EVALUATE = "train.evaluate_every"
WARMUP = "optimizer.warmup_steps"
BATCH_SIZE = "data.batch_size"  # only where it is asked for
ALL = (CLASSES, CANVAS, STEPS, EVALUATE, WARMUP)

_NUMBERS = ("num_classes", "num_keypoints")

# A fine-tuning sees each image 12 times, as detectors do in a 1x schedule on COCO, or
# more often where they are few: 6,000 images altogether, but none more than 50 times.
_EPOCHS, _IMAGES, _MOST_EPOCHS = 12, 6_000, 50
_LEAST_STEPS = 100
_EVALUATIONS = 5
_WARMUP_SHARE = 0.2  # of the steps, at most


def open_settings(names: Collection[str], given: Collection[str]) -> frozenset[str]:
    """Returns the settings `names` without the ones among the options `given`.

    Options are named as fields are: "train.steps", "model.box_head.num_classes".
    """
    classes = any(name.rpartition(".")[2] in _NUMBERS for name in given)
    return frozenset(names) - set(given) - ({CLASSES} if classes else set())


def fit_to_data(config: Config, source: Source, names: Collection[str]) -> Config:
    """Returns the config with the settings `names` as the training data wants them.

    - `CLASSES`: as many in every head as the data has categories, and as many keypoints
      as it annotates;
    - `CANVAS`: the shape that the images fill most, of as many pixels;
    - `STEPS`: 12 epochs, or more where the images are few;
    - `EVALUATE`: five times in the run;
    - `WARMUP`: at most a fifth of the run.
    """
    if CLASSES in names:
        config = replace(config, model=_with_classes(config.model, source))
    sizes = source.image_sizes
    if CANVAS in names and sizes is not None:
        config = with_canvas(config, best_canvas(sizes, math.prod(config.data.canvas)))
    train, optimizer = config.train, config.optimizer
    if STEPS in names:
        train = replace(train, steps=_steps(len(source), config.data.batch_size))
    if EVALUATE in names:
        train = replace(train, evaluate_every=math.ceil(train.steps / _EVALUATIONS))
    if WARMUP in names and not callable(optimizer):
        most = int(_WARMUP_SHARE * train.steps)
        optimizer = replace(optimizer, warmup_steps=min(optimizer.warmup_steps, most))
    return replace(config, train=train, optimizer=optimizer)


def as_begun(model: nn.Module, begun: nn.Module) -> nn.Module:
    """Returns the model with the classes and keypoints of the model of a run."""
    for field in _NUMBERS:
        for number in values_of(begun, field).values():
            model = with_field(model, field, number)
    return model


def fitted_line(before: Config, after: Config) -> str | None:
    """Says which settings the data has decided; None where none has changed."""
    said = [
        f"--{name.replace('_', '-')} {_words(value_of(after, name))}"
        for name in (CANVAS, STEPS, EVALUATE, WARMUP)
        if not (name == WARMUP and callable(after.optimizer))
        and value_of(before, name) != value_of(after, name)
    ]
    if (classes := facts(after.model).num_classes) != facts(before.model).num_classes:
        said = [f"{classes} classes", *said]
    return f"set for this data: {', '.join(said)}" if said else None


def _with_classes(model: nn.Module, source: Source) -> nn.Module:
    if facts(model).num_classes is not None:
        model = with_field(model, "num_classes", len(source.categories))
    if "keypoints" in facts(model).measures and (spec := source.keypoint_spec):
        model = with_field(model, "num_keypoints", len(spec.names))
    return model


def _steps(images: int, batch_size: int) -> int:
    seen = max(_EPOCHS * images, min(_IMAGES, _MOST_EPOCHS * images))
    return max(_LEAST_STEPS, round(seen / batch_size))


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
