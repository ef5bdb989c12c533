"""Whether a user's submodules have what the compositions of this room call.

Names of methods and of their arguments are looked up; nothing is traced.
"""

from collections.abc import Mapping

import flax.linen as nn

from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.contract import lacking
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.fields import has, parts, values_of
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage

# Methods with the arguments that they are given by name, or in a place behind others;
# None: a field or property.
Needs = Mapping[str, tuple[str, ...] | None]

_ANY: Needs = {"__call__": ("train",)}
_DENSE: Needs = {"__call__": ("train",), "loss": ("canvas", "keys")}
_ONE_STAGE: Needs = {**_DENSE, "detections": ("canvas",), "num_classes": None}
_PROPOSING: Needs = {**_DENSE, "proposals": ("canvas", "train")}
_ON_BOXES: Needs = {
    "__call__": ("valid", "canvas", "train"),
    "loss": (),
    "detections": (),
}
_BOX_HEAD: Needs = {
    **_ON_BOXES,
    "sample": ("keys",),
    "positives": (),
    "num_classes": None,
    "pool": None,
}
_NEEDS: Mapping[type[nn.Module], Mapping[str, Needs]] = {
    OneStage: {"head": _ONE_STAGE},
    ProposalNetwork: {"head": _PROPOSING},
    TwoStage: {
        "rpn": _PROPOSING,
        "box_head": _BOX_HEAD,
        "mask_head": _ON_BOXES,
        "keypoint_head": _ON_BOXES,
    },
    Cascade: {
        "rpn": _PROPOSING,
        "box_heads": {**_BOX_HEAD, "match": (), "moved": ()},
        "mask_head": _ON_BOXES,
    },
    FastRCNN: {
        "proposals": {**_ANY, "propose": ("train",)},
        "box_head": {n: need for n, need in _BOX_HEAD.items() if n != "positives"},
    },
}
_PACKAGE = __name__.partition(".")[0]


def is_ours(module: nn.Module) -> bool:
    """Whether a module and all in it are of this package, which has its own tests."""
    ours = type(module).__module__.partition(".")[0] == _PACKAGE
    return ours and all(map(is_ours, parts(module).values()))


def check_parts(composition: nn.Module, path: str) -> None:
    """Raises ValueError where a submodule of the user's lacks what is called of it."""
    needs = {"backbone": _ANY, "neck": _ANY}
    for kind, of_heads in _NEEDS.items():
        if isinstance(composition, kind):
            needs |= of_heads
    for name, part in parts(composition).items():
        if not is_ours(part):
            field = name.partition(".")[0]  # of one in a tuple
            _check_part(part, f"{path}.{name}", needs.get(field, {}))
    if isinstance(composition, Cascade):
        _check_stages(composition.box_heads, f"{path}.box_heads")


def _check_stages(heads: tuple[nn.Module, ...], path: str) -> None:
    """Raises ValueError where the box heads of a cascade do not go together."""
    if not heads:
        raise ValueError(f"{path} must hold at least one head, got ()")
    numbers = [head.num_classes for head in heads]  # all have it
    if len(set(numbers)) > 1:
        raise ValueError(f"{path} must have one number of classes, got {numbers}")
    for i, head in enumerate(heads):
        if not values_of(head, "class_agnostic").get("class_agnostic", True):
            raise ValueError(
                f"{path}.{i}.class_agnostic must be True in a cascade, got False"
            )


def _check_part(part: nn.Module, path: str, needs: Needs) -> None:
    kind = type(part).__name__
    for name, arguments in needs.items():
        if not has(part, name):
            raise ValueError(f"{path}: {kind} has no {name}")
        if arguments is None:
            continue
        if argument := lacking(getattr(part, name), *arguments):
            raise ValueError(
                f"{path}: {kind}.{name} has no argument {argument!r}, with which it is "
                "called"
            )
