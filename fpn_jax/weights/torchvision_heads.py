"""The tables of torchvision's pyramids and heads.

Each has the names of torchvision 0.28, and those of older releases where they differ.
"""

from functools import partial

import flax.linen as nn

from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.weights.layer_rules import conv_rules, flattened, linear_rules, norm_rules
from fpn_jax.weights.state_dicts import Rule
from fpn_jax.weights.tables import rules_of


def neck_rules(neck: nn.Module, levels: list[int]) -> list[Rule]:
    """Returns the table of a neck on these levels of a backbone."""
    tables = {FPN: partial(_fpn_rules, levels=levels)}
    return rules_of(neck, tables, library="torchvision")


def _fpn_rules(fpn: FPN, levels: list[int]) -> list[Rule]:
    rules = []
    for i, level in enumerate(levels):
        for theirs, ours in (("inner", "lateral"), ("layer", "output")):
            block, path = f"{theirs}_blocks.{i}", f"{ours}{level}"
            rules += conv_rules(f"{block}.0", path)
            rules += norm_rules(f"{block}.1", path, fpn.norm)
            rules += conv_rules(block, path)  # older releases
    return [*rules, *conv_rules("extra_blocks.p{i}", "p{i}")]


def head_rules(head: nn.Module) -> list[Rule]:
    """Returns the table of a head; an RoI head's includes the rows of its predictor."""
    tables = {
        RPNHead: _rpn_rules,
        RetinaNetHead: _retinanet_rules,
        FCOSHead: _fcos_rules,
        BoxHead: _box_rules,
        MaskHead: _mask_rules,
        KeypointHead: _keypoint_rules,
    }
    return rules_of(head, tables, library="torchvision")


def _rpn_rules(head: RPNHead) -> list[Rule]:
    return [
        *conv_rules("conv.{i}.0", "conv{i}"),
        *conv_rules("conv", "conv0"),  # older releases
        *conv_rules("cls_logits", "objectness"),
        *conv_rules("bbox_pred", "deltas"),
    ]


def _retinanet_rules(head: RetinaNetHead) -> list[Rule]:
    rules = []
    for theirs, ours in (("classification", "class"), ("regression", "box")):
        tower = f"{theirs}_head.conv"
        for i in range(head.num_convs):
            path = f"{ours}_conv{i}"
            rules += conv_rules(f"{tower}.{i}.0", path)
            rules += norm_rules(f"{tower}.{i}.1", path, head.norm)
            rules += conv_rules(f"{tower}.{2 * i}", path)  # older releases
    return rules + _dense_predictor_rules()


def _fcos_rules(head: FCOSHead) -> list[Rule]:
    rules = []
    for theirs, ours in (("classification", "class"), ("regression", "box")):
        tower = f"{theirs}_head.conv"
        for i in range(head.num_convs):  # convolution, norm, activation
            path = f"{ours}_conv{i}"
            rules += conv_rules(f"{tower}.{3 * i}", path)
            rules += norm_rules(f"{tower}.{3 * i + 1}", path, "group")
    centerness = conv_rules("regression_head.bbox_ctrness", "centerness")
    return rules + _dense_predictor_rules() + centerness


def _dense_predictor_rules() -> list[Rule]:
    return [
        *conv_rules("classification_head.cls_logits", "class_logits"),
        *conv_rules("regression_head.bbox_reg", "box_deltas"),
    ]


def _box_rules(head: BoxHead) -> list[Rule]:
    if head.class_agnostic:
        raise ValueError(
            "torchvision has no counterpart of a BoxHead with class_agnostic: its box "
            "heads have a box for each class"
        )
    # Two linear layers by name; or convolutions, one to flatten, and linear layers,
    # each with an activation behind it.
    fc6, fc7 = "fc6", "fc7"
    if head.num_convs > 0:
        fc6, fc7 = head.num_convs + 1, head.num_convs + 3
    return [
        *conv_rules("box_head.{i}.0", "conv{i}"),
        *norm_rules("box_head.{i}.1", "conv{i}", head.norm),
        *conv_rules(f"box_head.{fc6}", "fc6", flattened(head.pool.size)),
        *linear_rules(f"box_head.{fc7}", "fc7"),
        *linear_rules("box_predictor.cls_score", "class_logits"),
        *linear_rules("box_predictor.bbox_pred", "box_deltas"),
    ]


def _mask_rules(head: MaskHead) -> list[Rule]:
    rules = []
    for i in range(head.num_convs):
        rules += conv_rules(f"mask_head.{i}.0", f"conv{i}")
        rules += norm_rules(f"mask_head.{i}.1", f"conv{i}", head.norm)
        rules += conv_rules(f"mask_head.mask_fcn{i + 1}", f"conv{i}")  # older releases
    return [
        *rules,
        *conv_rules("mask_predictor.conv5_mask", "deconv"),
        *conv_rules("mask_predictor.mask_fcn_logits", "mask_logits"),
    ]


def _keypoint_rules(head: KeypointHead) -> list[Rule]:
    rules = []
    for i in range(head.num_convs):  # an activation after each
        rules += conv_rules(f"keypoint_head.{2 * i}", f"conv{i}")
    return [*rules, *conv_rules("keypoint_predictor.kps_score_lowres", "deconv")]
