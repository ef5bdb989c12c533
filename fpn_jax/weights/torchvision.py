"""torchvision's weights in our modules and back: classifiers and whole detectors.

The tables name each tensor of torchvision 0.28 and the names of older releases. What
our module does not build (later stages, classifiers, the RoI heads for a proposal
network) is left out by rule; everything else must fit exactly.

Two numbers are not in the files: `norm_epsilon` of frozen norms is 0.0 for the COCO
weights of Faster, Mask and Keypoint R-CNN and RetinaNet v1, and 1e-5 for FCOS, the
legacy Keypoint R-CNN, every v2, both MobileNets, and the ImageNet backbones.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import parts
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.weights.layer_rules import nested
from fpn_jax.weights.origins import check_origin
from fpn_jax.weights.state_dicts import (
    Rule,
    StateDict,
    convert,
    export_state_dict,
    without_prefix,
)
from fpn_jax.weights.tables import rules_of
from fpn_jax.weights.torchvision_backbones import backbone_rules, body_rules
from fpn_jax.weights.torchvision_heads import head_rules, neck_rules

_COUNTER = "num_batches_tracked"


def backbone_from_torchvision(
    state_dict: Mapping[str, np.ndarray], backbone: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a backbone from a torchvision classifier's.

    Raises ValueError for the file of a detector, or of another library.
    """
    check_origin(state_dict, "classifier")
    images = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
    return convert(state_dict, backbone_rules(backbone), variables)


def detector_from_torchvision(
    state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a detector from the state dict of torchvision's.

    A proposal network takes any R-CNN's, and leaves out the RoI heads. Frozen norms
    take batch norm's, whose counters of batches are left out (`batch_counters`).

    Raises ValueError for the file of a classifier, or of another library.
    """
    check_origin(state_dict, "torchvision")
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    return convert(state_dict, detector_rules(detector), variables)


def fitted(detector: nn.Module, state_dict: Mapping[str, np.ndarray]) -> nn.Module:
    """Adapts the detector to the model that a file came from.

    The file tells how many classes (and keypoints) a fine-tuned model has, and whether
    the norms of its backbone count batches. Norms that do are of a model that was built
    without any weights: batch norm with an epsilon of 1e-5.
    """
    state_dict = without_prefix(state_dict, detector_rules(detector))
    outputs = _outputs(state_dict)
    changes: dict[str, Any] = {
        name: part.clone(**outputs[name])
        for name, part in parts(detector).items()
        if name in outputs
    }
    if any(name.startswith("backbone.body.") for name in batch_counters(state_dict)):
        batch_norm = detector.backbone.clone(norm="batch", norm_epsilon=1e-5)
        changes["backbone"] = batch_norm
    return detector.clone(**changes)


def _outputs(state_dict: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Returns head -> field -> the number of its outputs in a file."""
    biases = {
        name.rpartition(".")[0].rpartition(".")[2]: len(array)
        for name, array in state_dict.items()
        if name.endswith(".bias") and array.ndim == 1
    }
    outputs = {}
    if biases.get("cls_score", 2) < 2:
        raise ValueError(
            "the file's model has one score, the background's, and finds nothing: "
            "torchvision's num_classes counts the background"
        )
    if "cls_score" in biases:
        num_classes = {"num_classes": biases["cls_score"] - 1}  # without background
        outputs = {"box_head": num_classes, "mask_head": num_classes}
    if "kps_score_lowres" in biases:
        outputs["keypoint_head"] = {"num_keypoints": biases["kps_score_lowres"]}
    num_anchors = biases.get("bbox_reg", 0) // 4
    if num_anchors and "cls_logits" in biases:
        outputs["head"] = {"num_classes": biases["cls_logits"] // num_anchors}
    return outputs


def detector_to_torchvision(
    variables: Mapping[str, Any],
    detector: nn.Module,
    counters: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> StateDict:
    """Returns the state dict that torchvision's model loads with `strict=True`.

    Every batch norm of torch counts the batches it has seen, and its checkpoints hold
    the number; ours does not count. With the `counters` of the file that the variables
    came from, it comes back bit by bit, also if we freeze its backbone's batch norms.
    Counters that are not given are 0.
    """
    rules = detector_rules(detector)
    zeros = {
        name.replace("running_mean", _COUNTER): np.zeros((), np.int64)
        for name in export_state_dict(_batch_norm_means(variables), rules)
    }
    return export_state_dict(variables, rules) | zeros | dict(counters)


def first_label(detector: nn.Module) -> int:
    """Returns torchvision's label of our class 0: of R-CNNs 0 is the background."""
    return 0 if facts(detector).pool is None else 1


def batch_counters(state_dict: Mapping[str, np.ndarray]) -> StateDict:
    """Returns the batch counters, which `detector_to_torchvision` takes back."""
    return {n: array for n, array in state_dict.items() if n.endswith(f".{_COUNTER}")}


def detector_rules(detector: nn.Module) -> list[Rule]:
    """Returns the table of the torchvision detector that ours corresponds to."""
    tables = {
        ProposalNetwork: _proposal_network_rules,
        OneStage: _one_stage_rules,
        TwoStage: _two_stage_rules,
    }
    return rules_of(detector, tables, library="torchvision")


def _batch_norm_means(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one leaf of every batch norm that is not frozen, at its place.

    The scale of a frozen one lies beside its mean, else it is a parameter.
    """
    leaves = flatten_dict(variables.get("batch_stats", {}))
    means = {
        ("batch_stats", *path): leaf
        for path, leaf in leaves.items()
        if path[-1] == "mean" and (*path[:-1], "scale") not in leaves
    }
    return unflatten_dict(means)


def _pyramid_rules(backbone: nn.Module, neck: nn.Module) -> list[Rule]:
    return [
        *nested(body_rules(backbone), "backbone.body", "backbone"),
        *nested(neck_rules(neck, sorted(backbone.levels)), "backbone.fpn", "neck"),
    ]


def _proposal_network_rules(detector: ProposalNetwork) -> list[Rule]:
    return [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(head_rules(detector.head), "rpn.head", "head"),
        Rule("roi_heads.*", None),
    ]


def _one_stage_rules(detector: OneStage) -> list[Rule]:
    return [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(head_rules(detector.head), "head", "head"),
    ]


def _two_stage_rules(detector: TwoStage) -> list[Rule]:
    rules = [
        *_pyramid_rules(detector.backbone, detector.neck),
        *nested(head_rules(detector.rpn), "rpn.head", "rpn"),
    ]
    for name, head in parts(detector).items():
        if name in ("box_head", "mask_head", "keypoint_head"):
            rules += nested(head_rules(head), "roi_heads", name)
    return rules
