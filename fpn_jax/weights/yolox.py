"""YOLOX's released weights in our modules, and back.

The table has a row for each tensor of a detector, in the order of its state dict there.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.backbones.csp_darknet import CSPDarknet
from fpn_jax.detectors.fields import values_of
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.heads.yolox import YOLOXHead
from fpn_jax.layers import Norm
from fpn_jax.necks.yolox_pafpn import YOLOXPAFPN
from fpn_jax.weights.layer_rules import conv_rules, nested, norm_rules
from fpn_jax.weights.state_dicts import (
    Rule,
    StateDict,
    convert,
    export_state_dict,
    without_prefix,
)
from fpn_jax.weights.tables import rules_of
from fpn_jax.zoo.yolox import YOLOX

_COUNTER = ".num_batches_tracked"
_LEVELS = (3, 4, 5)


def detector_from_yolox(
    state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a detector (`zoo/yolox.py`) from a released state dict.

    Counters of batches are left out.
    """
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    return convert(state_dict, yolox_rules(detector), variables)


def fitted_to_yolox(
    detector: OneStage, state_dict: Mapping[str, np.ndarray]
) -> OneStage:
    """Adapts the number of classes to the one that a file tells."""
    names = without_prefix(state_dict, yolox_rules(detector))
    biases = names.get("head.cls_preds.0.bias")
    if biases is None:
        return detector
    return detector.clone(head=detector.head.clone(num_classes=len(biases)))


def released_size(state_dict: Mapping[str, np.ndarray]) -> str | None:
    """Returns which released detector has these names and channels; None: none of them.

    A state dict without a prefix; the number of classes is of no account.
    """
    stem = state_dict.get("backbone.backbone.stem.conv.conv.weight", ())
    for name, make in YOLOX.items():
        detector = make()
        width: Any = detector.backbone.width
        names = {rule.theirs for rule in yolox_rules(detector)}
        if names == state_dict.keys() and len(stem) == int(64 * width):
            return name
    return None


def detector_to_yolox(
    variables: Mapping[str, Any],
    detector: nn.Module,
    counters: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> StateDict:
    """Returns the state dict that the released model loads with `strict=True`.

    `counters` are the batch counters of the file that the variables came from; those
    that are not given are 0.

    Raises ValueError where YOLOX has no such detector.
    """
    rules = yolox_rules(detector)
    tensors = export_state_dict(variables, rules)
    tensors |= {
        rule.theirs: np.zeros((), np.int64)
        for rule in rules
        if rule.theirs.endswith(_COUNTER)
    }
    tensors |= counters
    return {rule.theirs: tensors[rule.theirs] for rule in rules}


def yolox_rules(detector: nn.Module) -> list[Rule]:
    """Returns the table of the released detector that ours corresponds to."""
    return rules_of(detector, {OneStage: _detector_rules}, library="YOLOX")


def _detector_rules(detector: OneStage) -> list[Rule]:
    backbone, neck, head = detector.backbone, detector.neck, detector.head
    darknet = rules_of(backbone, {CSPDarknet: _darknet_rules}, library="YOLOX")
    pafpn = rules_of(neck, {YOLOXPAFPN: _pafpn_rules}, library="YOLOX")
    of_head = rules_of(head, {YOLOXHead: _head_rules}, library="YOLOX")
    _check_released(detector)
    return [
        *nested(darknet, "backbone.backbone", "backbone"),
        *nested(pafpn, "backbone", "neck"),
        *nested(of_head, "head", "head"),
    ]


def _check_released(detector: OneStage) -> None:
    """Raises ValueError for what the classes can be, and YOLOX is not."""
    for path, levels in values_of(detector, "levels").items():
        if levels != _LEVELS:
            raise ValueError(f"YOLOX has the levels {_LEVELS}, got {path} {levels}")
    for path, form in values_of(detector, "stem_form").items():
        if form != "focus":
            raise ValueError(f"YOLOX has the stem 'focus', got {path} {form!r}")
    for path, norm in values_of(detector, "norm").items():
        if norm not in ("batch", "frozen"):
            raise ValueError(f"YOLOX has batch norms, got {path} {norm!r}")


def _base_rules(theirs: str, ours: str, norm: Norm) -> list[Rule]:
    """A convolution and its norm; the weight comes first."""
    return conv_rules(f"{theirs}.conv", ours)[:1] + norm_rules(
        f"{theirs}.bn", ours, norm
    )


def _wide_rules(theirs: str, ours: str, norm: Norm, depthwise: bool) -> list[Rule]:
    """A 3x3 convolution, or the two that stand for it."""
    if not depthwise:
        return _base_rules(theirs, ours, norm)
    return [
        *_base_rules(f"{theirs}.dconv", f"{ours}/depthwise", norm),
        *_base_rules(f"{theirs}.pconv", f"{ours}/pointwise", norm),
    ]


def _csp_rules(
    theirs: str, ours: str, norm: Norm, depthwise: bool, repeats: int
) -> list[Rule]:
    rules = []
    for name in ("conv1", "conv2", "conv3"):
        rules += _base_rules(f"{theirs}.{name}", f"{ours}/{name}", norm)
    for i in range(repeats):
        block, path = f"{theirs}.m.{i}", f"{ours}/block{i}"
        rules += _base_rules(f"{block}.conv1", f"{path}/conv1", norm)
        rules += _wide_rules(f"{block}.conv2", f"{path}/conv2", norm, depthwise)
    return rules


def _darknet_rules(backbone: CSPDarknet) -> list[Rule]:
    norm, depthwise = backbone.norm, backbone.depthwise
    rules = _base_rules("stem.conv", "stem/conv", norm)
    for stage in range(2, 6):
        theirs, ours = f"dark{stage}", f"stage{stage}"
        rules += _wide_rules(f"{theirs}.0", f"{ours}/down", norm, depthwise)
        if stage == 5:
            rules += _base_rules(f"{theirs}.1.conv1", f"{ours}/spp/conv1", norm)
            rules += _base_rules(f"{theirs}.1.conv2", f"{ours}/spp/conv2", norm)
        csp = f"{theirs}.{2 if stage == 5 else 1}"
        repeats = backbone.repeats(stage)
        rules += _csp_rules(csp, f"{ours}/csp", norm, depthwise, repeats)
    return rules


def _pafpn_rules(neck: YOLOXPAFPN) -> list[Rule]:
    norm, depthwise = neck.norm, neck.depthwise
    rules = []
    for theirs, ours in (
        ("lateral_conv0", "lateral5"),
        ("C3_p4", "top_down4"),
        ("reduce_conv1", "lateral4"),
        ("C3_p3", "top_down3"),
        ("bu_conv2", "down4"),
        ("C3_n3", "bottom_up4"),
        ("bu_conv1", "down5"),
        ("C3_n4", "bottom_up5"),
    ):
        if theirs.startswith("C3"):
            rules += _csp_rules(theirs, ours, norm, depthwise, neck.repeats)
        elif theirs.startswith("bu"):
            rules += _wide_rules(theirs, ours, norm, depthwise)
        else:
            rules += _base_rules(theirs, ours, norm)
    return rules


def _head_rules(head: YOLOXHead) -> list[Rule]:
    norm, depthwise = head.norm, head.depthwise
    rules = []
    for theirs, ours in (("cls_convs", "class"), ("reg_convs", "box")):
        for i, level in enumerate(_LEVELS):
            for j in range(head.num_convs):
                rules += _wide_rules(
                    f"{theirs}.{i}.{j}", f"{ours}{level}_conv{j}", norm, depthwise
                )
    for theirs, ours in (
        ("cls_preds", "class_logits"),
        ("reg_preds", "box_deltas"),
        ("obj_preds", "objectness"),
    ):
        for i, level in enumerate(_LEVELS):
            rules += conv_rules(f"{theirs}.{i}", f"{ours}{level}")
    for i, level in enumerate(_LEVELS):
        rules += _base_rules(f"stems.{i}", f"stem{level}", norm)
    return rules
