"""torchvision's weights in our modules: classification backbones, R-CNNs up to the RPN.

The tables name each tensor of torchvision 0.28 and the names of older releases. What
our module does not build (later stages, classifiers, RoI heads) is left out by rule;
everything else must fit exactly.

Two numbers are not in the files: `norm_epsilon` of frozen norms is 0.0 for the COCO
weights of Faster, Mask and Keypoint R-CNN and RetinaNet v1, and 1e-5 for FCOS, the
legacy Keypoint R-CNN, every v2, and the ImageNet backbones.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import DEPTHS, VGG
from fpn_jax.choices import check_choice
from fpn_jax.layers import Norm
from fpn_jax.weights.convert import CONV, Rule, convert


def load_backbone(
    state_dict: Mapping[str, np.ndarray], backbone: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a ResNet or VGG from a torchvision classifier's."""
    images = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
    return convert(state_dict, backbone_rules(backbone), variables)


def load_proposal_network(
    state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a proposal network from an R-CNN's state dict.

    `detector` is any module of `backbone`, `neck` (FPN) and `head` (RPN), called with
    images and sizes.
    """
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    return convert(state_dict, proposal_network_rules(detector), variables)


def proposal_network_rules(detector: nn.Module) -> list[Rule]:
    """Returns the table of `fasterrcnn_resnet50_fpn` up to the RPN, and its like."""
    levels = sorted(detector.backbone.levels)
    return [
        *_nested(backbone_rules(detector.backbone), "backbone.body", "backbone"),
        *_nested(fpn_rules(levels), "backbone.fpn", "neck"),
        *_nested(_RPN_RULES, "rpn.head", "head"),
        Rule("roi_heads.*", None),
    ]


def backbone_rules(backbone: nn.Module) -> list[Rule]:
    """Returns the table of a torchvision classifier of the backbone's architecture."""
    tables = {"ResNet": _resnet_rules, "VGG": _vgg_rules}
    name = type(backbone).__name__
    check_choice("backbone", name, tables)
    return tables[name](backbone)


def _resnet_rules(resnet: ResNet) -> list[Rule]:
    rules = [
        *_conv_rules("conv1", "stem/conv"),
        *_norm_rules("bn1", "stem/conv", resnet.norm),
    ]
    for stage in range(2, 6):
        if stage > max(resnet.levels):
            rules.append(Rule(f"layer{stage - 1}.*", None))
            continue
        theirs, ours = f"layer{stage - 1}.{{block}}", f"stage{stage}/block{{block}}"
        rules += _conv_rules(f"{theirs}.conv{{i}}", f"{ours}/conv{{i}}")
        rules += _norm_rules(f"{theirs}.bn{{i}}", f"{ours}/conv{{i}}", resnet.norm)
        rules += _conv_rules(f"{theirs}.downsample.0", f"{ours}/shortcut")
        rules += _norm_rules(f"{theirs}.downsample.1", f"{ours}/shortcut", resnet.norm)
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
                rules += _conv_rules(conv, ours) + _norm_rules(norm, ours, vgg.norm)
            index += 2 if vgg.norm is None else 3
        index += 1
    return [*rules, Rule("classifier.*", None)]


def fpn_rules(levels: list[int]) -> list[Rule]:
    """Returns the table of a `FeaturePyramidNetwork` on these levels of a backbone."""
    rules = []
    for i, level in enumerate(levels):
        for theirs, ours in (("inner", "lateral"), ("layer", "output")):
            path = f"{ours}{level}"
            rules += _conv_rules(f"{theirs}_blocks.{i}.0", path)
            rules += _conv_rules(f"{theirs}_blocks.{i}", path)  # older releases
    return [*rules, *_conv_rules("extra_blocks.p{i}", "p{i}")]


def _conv_rules(theirs: str, ours: str) -> list[Rule]:
    return [
        Rule(f"{theirs}.weight", f"params/{ours}/kernel", CONV),
        Rule(f"{theirs}.bias", f"params/{ours}/bias"),
    ]


def _norm_rules(theirs: str, ours: str, norm: Norm) -> list[Rule]:
    affine = "batch_stats" if norm == "frozen" else "params"
    return [
        Rule(f"{theirs}.weight", f"{affine}/{ours}/norm/scale"),
        Rule(f"{theirs}.bias", f"{affine}/{ours}/norm/bias"),
        Rule(f"{theirs}.running_mean", f"batch_stats/{ours}/norm/mean"),
        Rule(f"{theirs}.running_var", f"batch_stats/{ours}/norm/var"),
        Rule(f"{theirs}.num_batches_tracked", None),
    ]


_RPN_RULES = [
    *_conv_rules("conv.0.0", "conv"),
    *_conv_rules("conv", "conv"),  # older releases
    *_conv_rules("cls_logits", "objectness"),
    *_conv_rules("bbox_pred", "deltas"),
]


def _nested(rules: list[Rule], theirs: str, ours: str) -> list[Rule]:
    """Returns a table whose names lie one module deeper on both sides."""
    return [
        Rule(
            f"{theirs}.{rule.theirs}",
            rule.ours and rule.ours.replace("/", f"/{ours}/", 1),
            rule.layout,
        )
        for rule in rules
    ]
