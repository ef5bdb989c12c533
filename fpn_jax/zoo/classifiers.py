"""torchvision's classifiers as backbones, by torchvision's names."""

import flax.linen as nn

from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG

CLASSIFIERS: dict[str, nn.Module] = {
    **{f"resnet{depth}": ResNet(depth) for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": ResNet(50, groups=32, width_per_group=4),
    "resnext101_32x8d": ResNet(101, groups=32, width_per_group=8),
    "resnext101_64x4d": ResNet(101, groups=64, width_per_group=4),
    "wide_resnet50_2": ResNet(50, width_per_group=128),
    "wide_resnet101_2": ResNet(101, width_per_group=128),
    **{f"vgg{depth}": VGG(depth) for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": VGG(depth, norm="frozen") for depth in (11, 13, 16, 19)},
    "mobilenet_v2": MobileNetV2(levels=(2, 3, 4, 5, 6)),
    **{
        f"mobilenet_v3_{size}": MobileNetV3(
            size, norm_epsilon=1e-3, levels=(2, 3, 4, 5, 6)
        )
        for size in ("large", "small")
    },
}
"""All levels of torchvision's classifiers by name."""
