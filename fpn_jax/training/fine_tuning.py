"""A detector by name, with settings for training it on data of one's own."""

import math
from collections.abc import Callable, Collection
from dataclasses import replace

import flax.linen as nn

from fpn_jax.choices import check_choice
from fpn_jax.detectors.contract import Measured, facts
from fpn_jax.detectors.fields import has, parts, with_field
from fpn_jax.training.config import (
    BestMetric,
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
)
from fpn_jax.weights.models.table import MODELS
from fpn_jax.zoo.canvases import released_canvas
from fpn_jax.zoo.detectron2 import DETECTRON2
from fpn_jax.zoo.torchvision import TORCHVISION
from fpn_jax.zoo.yolox import YOLOX

NAMED: dict[str, Callable[..., nn.Module]] = {**TORCHVISION, **DETECTRON2, **YOLOX}
"""The detectors that can be trained by name."""


def fine_tuning(name: str, *, pretrained: bool) -> Config:
    """Returns the settings of fine-tuning the detector `name`, or published weights'.

    The canvas has as many pixels as the detector's own; the number of steps is for the
    data to decide (`data_fit`). AdamW needs no rate for each kind of head, as SGD does,
    and forgives a small batch.

    Args:
        pretrained: whether the run starts from weights. If not, nothing is frozen, and
            the backbone has batch norm in place of the fixed statistics of weights.
    """
    name = MODELS[name].model if name in MODELS else name
    check_choice("model", name, NAMED)
    released = name in YOLOX
    if not pretrained:
        model = _from_scratch(NAMED[name]())
    else:  # norm statistics of a few images would be worse than those of the weights
        model = _kept_still(YOLOX[name](norm="frozen")) if released else NAMED[name]()
    data = DataConfig(canvas=_whole(released_canvas(name)), batch_size=4)
    return Config(
        model=model,
        data=replace(data, box_scale="common") if released else data,
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=1e-4, warmup_steps=100, clip_norm=10.0
        ),
        evaluation=EvaluationConfig(best=_best(facts(model).measures)),
    )


def _best(measures: Collection[Measured]) -> BestMetric:
    """Returns the figure of the most specific thing that a detector finds."""
    if "keypoints" in measures:
        return "keypoint/AP"
    if "masks" in measures:
        return "mask/AP"
    return "AP" if "boxes" in measures else "AR@1000"


def _kept_still(yolox: nn.Module) -> nn.Module:
    """Returns a released detector with its first two stages frozen, as R-CNNs have.

    Its stem sees pixels of 0 … 255, and the gradient's norm is nearly all the stem's.
    """
    return yolox.clone(backbone=yolox.backbone.clone(frozen_stages=2))


def _from_scratch(model: nn.Module) -> nn.Module:
    model = with_field(model, "frozen_stages", 0)
    backbone = parts(model).get("backbone")
    if backbone is not None and has(backbone, "norm") and backbone.norm == "frozen":
        model = model.clone(backbone=backbone.clone(norm="batch", norm_epsilon=1e-5))
    return model


def _whole(canvas: tuple[int, int]) -> tuple[int, int]:
    """Returns a canvas whose sides are multiples of 32, as levels need them."""
    height, width = (32 * math.ceil(side / 32) for side in canvas)
    return height, width
