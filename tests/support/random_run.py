"""Runs of small detectors with random weights, which find something in any picture."""

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.data.example import Category
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.run import Run, save_run

CANVAS = (96, 128)
CATEGORIES = (Category(1, "cat"), Category(7, "dog"))


def two_stage(**heads) -> TwoStage:
    return TwoStage(
        Dummy(levels=(3, 4)),
        FPN(8),
        RPNHead(anchor_sizes=((16,), (32,), (64,)), pre_nms=60, post_nms=40),
        BoxHead(2, pool=RoIPool(levels=(3, 4)), hidden_features=16, max_detections=9),
        **heads,
    )


def with_masks() -> TwoStage:
    pool = RoIPool(size=14, levels=(3, 4))
    return two_stage(mask_head=MaskHead(2, pool=pool, num_convs=1, channels=8))


def directory_of(model, tmp_path_factory):
    images, sizes = jnp.zeros((1, *CANVAS, 3)), jnp.array([CANVAS])
    variables = call_once(model.init, jax.random.key(0), images, sizes)
    place = tmp_path_factory.mktemp("runs") / "run"
    config = Config(model=model, data=DataConfig(canvas=CANVAS))
    save_run(place, Run(config, variables, 0, CATEGORIES, ((0, 2),)))
    return place


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), np.uint8)
