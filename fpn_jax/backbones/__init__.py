"""Backbones: normalized pixels to the pyramid C2 … C5.

A backbone is a Linen module with

    __call__(pixels, *, train) -> {level: [B, H / 2**level, W / 2**level, C]}

`pixels [B, H, W, 3]` are normalized float32, zero in padding or the detector's
`padding_value`; the coarsest stride that it gives divides H and W. Its field `levels`
chooses the levels that it returns, finest first; it builds no more than these need.
`train` tells batch norm to use, and to update, the statistics of the batch (collection
`batch_stats`).

It may have `frozen`, the names of the submodules that no step changes; they
pass no gradient and keep their statistics. Ours name their submodules `stem`, `stage2`,
`stage3` …, and have a field `frozen_stages` that counts them from the stem on:
`check_stages` and `frozen_names` are for others that do the same, and `frozen_mask`
tells an optimizer which parameters it must leave alone.
"""

from fpn_jax.backbones.csp_darknet import CSPDarknet
from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.stages import check_stages, frozen_mask, frozen_names
from fpn_jax.backbones.vgg import VGG

__all__ = [
    "CSPDarknet",
    "Dummy",
    "MobileNetV2",
    "MobileNetV3",
    "ResNet",
    "VGG",
    "check_stages",
    "frozen_mask",
    "frozen_names",
]
