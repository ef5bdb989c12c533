"""Detectron2's weights in our modules, and back: the detectors of its zoo with FPN.

The tables name each tensor as Detectron2's state dicts do. Where numbers are the same
in another order, it is changed on the way:

- images are BGR there: the inputs of the first convolution;
- the background is the last class there, the first here;
- it has no box deltas and no mask there: zeros here, which nothing reads (deltas for
  all classes are the same);
- the anchors of a cell are size by size there, ratio by ratio here.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.fields import parts, with_field
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.weights.detectron2_file import detectron2_state_dict
from fpn_jax.weights.layer_rules import (
    conv_rules,
    flattened,
    linear_rules,
    nested,
    norm_rules,
)
from fpn_jax.weights.state_dicts import (
    CONV,
    LINEAR,
    SAME,
    Layout,
    Rule,
    StateDict,
    convert,
    without_prefix,
)
from fpn_jax.weights.tables import rules_of


def load_detectron2(path: str | Path, detector: nn.Module) -> dict[str, Any]:
    """Returns the variables of a detector (`zoo/detectron2.py`) from a file.

    The file is one of the zoo (.pkl), or a checkpoint of a training (.pth). No code in
    it is run.
    """
    return detector_from_detectron2(detectron2_state_dict(path), detector)


def fitted_to_detectron2(
    detector: nn.Module, state_dict: Mapping[str, np.ndarray]
) -> nn.Module:
    """Adapts the numbers of classes and of keypoints to those in a file.

    A model that was fine-tuned on other data (cfg.MODEL.ROI_HEADS.NUM_CLASSES,
    RETINANET.NUM_CLASSES, ROI_KEYPOINT_HEAD.NUM_KEYPOINTS) tells them by its biases.
    """
    names = without_prefix(state_dict, detector_rules(detector))
    outputs = {name: len(x) for name, x in names.items() if x.ndim == 1}
    for predictor in ("box_predictor", "box_predictor.0"):
        if scores := outputs.get(f"roi_heads.{predictor}.cls_score.bias"):
            detector = with_field(detector, "num_classes", scores - 1)  # and background
    if points := outputs.get("roi_heads.keypoint_head.score_lowres.bias"):
        detector = with_field(detector, "num_keypoints", points)
    anchors = outputs.get("head.bbox_pred.bias", 0) // 4
    if anchors and (logits := outputs.get("head.cls_score.bias")):
        detector = with_field(detector, "num_classes", logits // anchors)
    return detector


def with_proposals(
    state_dict: Mapping[str, np.ndarray], proposals: Mapping[str, np.ndarray]
) -> StateDict:
    """Returns the tensors of a Fast R-CNN and of the network that proposes to it.

    Detectron2 reads proposals from a file, so the weights of a Fast R-CNN lack the
    network. The weights of an RPN, or of any other R-CNN, have one; their names get
    `proposals.` in front.
    """
    return dict(state_dict) | {f"proposals.{n}": x for n, x in proposals.items()}


def detector_from_detectron2(
    state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a detector from the state dict of its counterpart.

    Frozen norms of an early release have no mean and variance: they are 0 and 1.
    Outputs for all classes at once (cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG,
    ROI_MASK_HEAD.CLS_AGNOSTIC_MASK) are repeated for each class.
    """
    state_dict = without_prefix(state_dict, detector_rules(detector))
    state_dict = _for_each_class(state_dict)
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    statistics = {}
    for name, array in state_dict.items():
        norm, _, leaf = name.rpartition(".")
        if norm.endswith(".norm") and leaf == "weight":
            statistics[f"{norm}.running_mean"] = np.zeros_like(array)
            statistics[f"{norm}.running_var"] = np.ones_like(array)
    return convert({**statistics, **state_dict}, detector_rules(detector), variables)


def detector_rules(detector: nn.Module) -> list[Rule]:
    """Returns the table of the Detectron2 model that ours corresponds to."""
    tables = {
        ProposalNetwork: _proposal_network_rules,
        OneStage: _one_stage_rules,
        TwoStage: _two_stage_rules,
        Cascade: _cascade_rules,
        FastRCNN: _fast_rcnn_rules,
    }
    return [
        *rules_of(detector, tables, library="Detectron2"),
        # Early releases have them as weights; ours are fields.
        Rule("*pixel_mean", None),
        Rule("*pixel_std", None),
        Rule("*anchor_generator.cell_anchors.*", None),
    ]


def _for_each_class(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors with outputs of every class where one serves all of them."""
    repeated = dict(state_dict)
    scores = state_dict.get("roi_heads.box_predictor.cls_score.bias", np.zeros(2))
    num_classes = max(scores.size - 1, 1)  # without background
    for layer, rows in (("box_predictor.bbox_pred", 4), ("mask_head.predictor", 1)):
        for leaf in ("weight", "bias"):
            name = f"roi_heads.{layer}.{leaf}"
            if name in state_dict and state_dict[name].shape[:1] == (rows,):
                repeated[name] = np.concatenate([state_dict[name]] * num_classes)
    return repeated


def _then(first: Layout, second: Layout) -> Layout:
    """Returns the layout that changes `first`, then `second`, on the way to ours."""
    return Layout(
        lambda x: second.to_ours(first.to_ours(x)),
        lambda x: first.to_theirs(second.to_theirs(x)),
    )


# Changes of the order of outputs, the first axis of a weight and of a bias there.
_BACKGROUND_FIRST = Layout(
    lambda x: np.roll(x, 1, axis=0), lambda x: np.roll(x, -1, axis=0)
)
_BGR = Layout(lambda x: x[:, ::-1], lambda x: x[:, ::-1])


def _with_background(rows: int) -> Layout:
    """Returns the change that puts `rows` zeros for the background in front."""

    def to_ours(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros((rows, *x.shape[1:]), x.dtype), x])

    return Layout(to_ours, lambda x: x[rows:])


def _ratio_by_ratio(num_sizes: int, num_ratios: int) -> Layout:
    """Returns the change from anchors that come size by size."""

    def reordered(x: np.ndarray, outer: int, inner: int) -> np.ndarray:
        return x.reshape(outer, inner, -1).swapaxes(0, 1).reshape(x.shape)

    return Layout(
        lambda x: reordered(x, num_sizes, num_ratios),
        lambda x: reordered(x, num_ratios, num_sizes),
    )


def _output_rules(theirs: str, ours: str, layout: Layout, change: Layout) -> list[Rule]:
    """Returns the rows of a layer whose outputs change order."""
    return [
        Rule(f"{theirs}.weight", f"params/{ours}/kernel", _then(change, layout)),
        Rule(f"{theirs}.bias", f"params/{ours}/bias", _then(change, SAME)),
    ]


def _pyramid_rules(backbone: nn.Module, neck: nn.Module) -> list[Rule]:
    body = rules_of(backbone, {ResNet: _resnet_rules}, library="Detectron2")
    fpn = rules_of(neck, {FPN: _fpn_rules}, library="Detectron2")
    return [*nested(body, "backbone.bottom_up", "backbone"), *fpn]


def _fpn_rules(fpn: FPN) -> list[Rule]:
    return [
        *conv_rules("backbone.fpn_lateral{i}", "neck/lateral{i}"),
        *conv_rules("backbone.fpn_output{i}", "neck/output{i}"),
        *conv_rules("backbone.top_block.p{i}", "neck/p{i}"),
    ]


def _resnet_rules(resnet: ResNet) -> list[Rule]:
    norm = resnet.norm
    theirs, ours = "res{stage}.{block}", "stage{stage}/block{block}"
    return [
        *conv_rules("stem.conv1", "stem/conv", _then(_BGR, CONV)),
        *norm_rules("stem.conv1.norm", "stem/conv", norm),
        *conv_rules(f"{theirs}.conv{{i}}", f"{ours}/conv{{i}}"),
        *norm_rules(f"{theirs}.conv{{i}}.norm", f"{ours}/conv{{i}}", norm),
        *conv_rules(f"{theirs}.shortcut", f"{ours}/shortcut"),
        *norm_rules(f"{theirs}.shortcut.norm", f"{ours}/shortcut", norm),
    ]


def _rpn_rules() -> list[Rule]:
    # One size per level: no order to change.
    return [
        *conv_rules("conv", "conv0"),
        *conv_rules("objectness_logits", "objectness"),
        *conv_rules("anchor_deltas", "deltas"),
    ]


def _proposal_network_rules(detector: ProposalNetwork) -> list[Rule]:
    return [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(_rpn_rules(), "proposal_generator.rpn_head", "head"),
        Rule("roi_heads.*", None),
    ]


def _one_stage_rules(detector: OneStage) -> list[Rule]:
    head = rules_of(
        detector.head, {RetinaNetHead: _retinanet_rules}, library="Detectron2"
    )
    return [*_pyramid_rules(detector.backbone, detector.neck), *head]


def _retinanet_rules(head: RetinaNetHead) -> list[Rule]:
    anchors = _ratio_by_ratio(len(head.anchor_sizes[0]), len(head.anchor_ratios))
    rules = [
        *_output_rules("head.cls_score", "head/class_logits", CONV, anchors),
        *_output_rules("head.bbox_pred", "head/box_deltas", CONV, anchors),
    ]
    for i in range(head.num_convs):  # an activation after each
        rules += conv_rules(f"head.cls_subnet.{2 * i}", f"head/class_conv{i}")
        rules += conv_rules(f"head.bbox_subnet.{2 * i}", f"head/box_conv{i}")
    return rules


def _two_stage_rules(detector: TwoStage) -> list[Rule]:
    tables = {
        BoxHead: _box_rules,
        MaskHead: _mask_rules,
        KeypointHead: _keypoint_rules,
    }
    rules = [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(_rpn_rules(), "proposal_generator.rpn_head", "rpn"),
    ]
    for name, head in parts(detector).items():
        if name in ("box_head", "mask_head", "keypoint_head"):
            rules_of_head = rules_of(head, tables, library="Detectron2")
            rules += nested(rules_of_head, "roi_heads", name)
    return rules


def _cascade_rules(detector: Cascade) -> list[Rule]:
    rules = [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(_rpn_rules(), "proposal_generator.rpn_head", "rpn"),
    ]
    for i, head in enumerate(detector.box_heads):
        tables = {BoxHead: partial(_box_rules, stage=f".{i}")}
        of_stage = rules_of(head, tables, library="Detectron2")
        rules += nested(of_stage, "roi_heads", f"box_heads_{i}")
    if detector.mask_head is not None:
        tables = {MaskHead: _mask_rules}
        of_masks = rules_of(detector.mask_head, tables, library="Detectron2")
        rules += nested(of_masks, "roi_heads", "mask_head")
    return rules


def _fast_rcnn_rules(detector: FastRCNN) -> list[Rule]:
    tables = {ProposalNetwork: _proposal_network_rules}
    proposals = rules_of(detector.proposals, tables, library="Detectron2")
    box = rules_of(detector.box_head, {BoxHead: _box_rules}, library="Detectron2")
    return [
        *nested(proposals, "proposals", "proposals"),
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(box, "roi_heads", "box_head"),
    ]


def _box_rules(head: BoxHead, stage: str = "") -> list[Rule]:
    theirs = f"box_predictor{stage}"
    deltas = SAME if head.class_agnostic else _with_background(4)
    return [
        *conv_rules(f"box_head{stage}.fc1", "fc6", flattened(head.pool.size)),
        *linear_rules(f"box_head{stage}.fc2", "fc7"),
        *_output_rules(
            f"{theirs}.cls_score", "class_logits", LINEAR, _BACKGROUND_FIRST
        ),
        *_output_rules(f"{theirs}.bbox_pred", "box_deltas", LINEAR, deltas),
    ]


def _mask_rules(head: MaskHead) -> list[Rule]:
    rules = [
        *conv_rules("mask_head.deconv", "deconv"),
        *_output_rules("mask_head.predictor", "mask_logits", CONV, _with_background(1)),
    ]
    for i in range(head.num_convs):
        rules += conv_rules(f"mask_head.mask_fcn{i + 1}", f"conv{i}")
    return rules


def _keypoint_rules(head: KeypointHead) -> list[Rule]:
    rules = conv_rules("keypoint_head.score_lowres", "deconv")
    for i in range(head.num_convs):
        rules += conv_rules(f"keypoint_head.conv_fcn{i + 1}", f"conv{i}")
    return rules
