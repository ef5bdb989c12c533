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

from fpn_jax.choices import check_choice
from fpn_jax.weights.convert import Rule, StateDict, convert, export_state_dict
from fpn_jax.weights.layers import nested
from fpn_jax.weights.torchvision_backbones import backbone_rules
from fpn_jax.weights.torchvision_heads import fpn_rules, head_rules

_COUNTER = "num_batches_tracked"


def load_backbone(
    state_dict: Mapping[str, np.ndarray], backbone: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a backbone from a torchvision classifier's."""
    images = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(backbone.init, jax.random.key(0), images)
    return convert(state_dict, backbone_rules(backbone), variables)


def load_detector(
    state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> dict[str, Any]:
    """Returns the variables of a detector from that of torchvision it corresponds to.

    A proposal network takes any R-CNN's, and leaves out the RoI heads. Frozen norms
    take batch norm's, whose counters of batches are left out (`batch_counters`).
    """
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    return convert(state_dict, detector_rules(detector), variables)


def export_detector(
    variables: Mapping[str, Any],
    detector: nn.Module,
    counters: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> StateDict:
    """Returns the state dict that torchvision's model loads with `strict=True`.

    Every batch norm of torch counts the batches it has seen, and its checkpoints hold
    the number; ours does not count. `counters` are those of the file that the
    variables came from: with them it comes back bit by bit, also where its backbone's
    batch norms are frozen here. Counters that are not given are 0.
    """
    rules = detector_rules(detector)
    zeros = {
        name.replace("running_mean", _COUNTER): np.zeros((), np.int64)
        for name in export_state_dict(_batch_norm_means(variables), rules)
    }
    return export_state_dict(variables, rules) | zeros | dict(counters)


def batch_counters(state_dict: Mapping[str, np.ndarray]) -> StateDict:
    """Returns what `load_detector` leaves out and `export_detector` wants back."""
    return {n: array for n, array in state_dict.items() if n.endswith(f".{_COUNTER}")}


def detector_rules(detector: nn.Module) -> list[Rule]:
    """Returns the table of the torchvision detector that ours corresponds to."""
    tables = {
        "ProposalNetwork": _proposal_network_rules,
        "OneStage": _one_stage_rules,
        "TwoStage": _two_stage_rules,
    }
    name = type(detector).__name__
    check_choice("detector", name, tables)
    levels = sorted(detector.backbone.levels)
    return [
        *nested(backbone_rules(detector.backbone), "backbone.body", "backbone"),
        *nested(fpn_rules(detector.neck, levels), "backbone.fpn", "neck"),
        *tables[name](detector),
    ]


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


def _proposal_network_rules(detector: nn.Module) -> list[Rule]:
    rules = nested(head_rules(detector.head), "rpn.head", "head")
    return [*rules, Rule("roi_heads.*", None)]


def _one_stage_rules(detector: nn.Module) -> list[Rule]:
    return nested(head_rules(detector.head), "head", "head")


def _two_stage_rules(detector: nn.Module) -> list[Rule]:
    rules = nested(head_rules(detector.rpn), "rpn.head", "rpn")
    for name in ("box_head", "mask_head", "keypoint_head"):
        head = getattr(detector, name)
        if head is not None:
            rules += nested(head_rules(head), "roi_heads", name)
    return rules
