"""The tables of torchvision's classifiers: ResNet, VGG, MobileNetV2 and V3.

Stages that our backbone does not build, and the classifier itself, are left out.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from fpn_jax.backbones.inverted_residuals import MobileNet
from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import DEPTHS, VGG
from fpn_jax.weights.layer_rules import conv_rules, norm_rules
from fpn_jax.weights.state_dicts import Rule
from fpn_jax.weights.tables import rules_of
from fpn_jax.weights.torchvision_mobilenets import (
    mobilenet_v2_rules,
    mobilenet_v3_rules,
)


def backbone_rules(backbone: nn.Module) -> list[Rule]:
    """Returns the table of a torchvision classifier of the backbone's architecture."""
    mobilenets = {
        MobileNetV2: partial(_classifier_rules, mobilenet_v2_rules),
        MobileNetV3: partial(_classifier_rules, mobilenet_v3_rules),
    }
    tables = {**_TABLES, **mobilenets}
    return rules_of(backbone, tables, library="torchvision")


def body_rules(backbone: nn.Module) -> list[Rule]:
    """Returns the table of the body of a torchvision detector.

    A ResNet or VGG has the names of the classifier there.
    """
    return rules_of(backbone, _TABLES, library="torchvision")


def _classifier_rules(mobilenet_rules: Callable, backbone: MobileNet) -> list[Rule]:
    rules = mobilenet_rules(backbone, prefix="features.")
    return [*rules, Rule("classifier.*", None)]


def _resnet_rules(resnet: ResNet) -> list[Rule]:
    rules = [
        *conv_rules("conv1", "stem/conv"),
        *norm_rules("bn1", "stem/conv", resnet.norm),
    ]
    for stage in range(2, 6):
        if stage > max(resnet.levels):
            rules.append(Rule(f"layer{stage - 1}.*", None))
            continue
        theirs, ours = f"layer{stage - 1}.{{block}}", f"stage{stage}/block{{block}}"
        rules += conv_rules(f"{theirs}.conv{{i}}", f"{ours}/conv{{i}}")
        rules += norm_rules(f"{theirs}.bn{{i}}", f"{ours}/conv{{i}}", resnet.norm)
        rules += conv_rules(f"{theirs}.downsample.0", f"{ours}/shortcut")
        rules += norm_rules(f"{theirs}.downsample.1", f"{ours}/shortcut", resnet.norm)
    return [*rules, Rule("fc.*", None)]


def _vgg_rules(vgg: VGG) -> list[Rule]:
    """`features.{index}` counts convolutions, norms, activations and poolings alike."""
    rules = []
    index = 0
    for group, num_convs in enumerate(DEPTHS[vgg.depth], start=1):
        stage = "stem" if group <= 2 else f"stage{group - 1}"
        for i in range(1, num_convs + 1):
            conv, norm = f"features.{index}", f"features.{index + 1}"
            ours = f"{stage}/conv{group}_{i}"
            if group > max(vgg.levels) + 1:
                rules += [Rule(f"{conv}.*", None), Rule(f"{norm}.*", None)]
            else:
                rules += conv_rules(conv, ours) + norm_rules(norm, ours, vgg.norm)
            index += 2 if vgg.norm is None else 3
        index += 1
    return [*rules, Rule("classifier.*", None)]


_TABLES = {
    ResNet: _resnet_rules,
    VGG: _vgg_rules,
    MobileNetV2: partial(mobilenet_v2_rules, prefix=""),
    MobileNetV3: partial(mobilenet_v3_rules, prefix=""),
}
