"""The tables of torchvision's MobileNets, the classifiers' as the detectors'."""

from collections.abc import Callable

from fpn_jax.backbones.inverted_residuals import MobileNet, Row
from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.layers import Norm
from fpn_jax.weights.layer_rules import conv_rules, norm_rules
from fpn_jax.weights.state_dicts import Rule

# their name, our name, the row, whether it expands, the norm
BlockRules = Callable[[str, str, Row, bool, Norm], list[Rule]]


def mobilenet_v2_rules(backbone: MobileNetV2, *, prefix: str) -> list[Rule]:
    """Returns the table of the layers that torchvision counts from 0.

    `prefix` is "features." in a classifier, and "" in the body of a detector, which is
    those layers alone. Layers that the backbone does not build are left out.
    """
    return _rules(backbone, prefix, _v2_block)


def mobilenet_v3_rules(backbone: MobileNetV3, *, prefix: str) -> list[Rule]:
    """Returns the table of MobileNetV3, whose blocks have other names."""
    return _rules(backbone, prefix, _v3_block)


def _rules(backbone: MobileNet, prefix: str, block_rules: BlockRules) -> list[Rule]:
    plan, norm, top = backbone.plan, backbone.norm, max(backbone.levels)
    channels = plan.stem
    rules = _normed_rules(f"{prefix}0", "stem/conv", norm)
    index = 1
    for stage, rows in enumerate(plan.stages, start=1):
        for i, row in enumerate(rows):
            theirs = f"{prefix}{index}"
            ours = f"{'stem' if stage == 1 else f'stage{stage}'}/block{i}"
            if stage < top or (stage == top and i == 0):
                rules += block_rules(theirs, ours, row, row.expanded != channels, norm)
            else:
                rules.append(Rule(f"{theirs}.*", None))
            channels = row.features
            index += 1
    last = f"{prefix}{index}"
    if top == 6:
        return rules + _normed_rules(last, "stage6/conv", norm)
    return [*rules, Rule(f"{last}.*", None)]


def _v2_block(
    theirs: str, ours: str, row: Row, expands: bool, norm: Norm
) -> list[Rule]:
    """`conv.{j}` counts the convolutions; the last has its norm beside it."""
    assert not row.squeeze  # torchvision's MobileNetV2 has none
    names = ["expand", "depthwise"] if expands else ["depthwise"]
    rules = []
    for j, name in enumerate(names):
        rules += _normed_rules(f"{theirs}.conv.{j}", f"{ours}/{name}", norm)
    j = len(names)
    rules += conv_rules(f"{theirs}.conv.{j}", f"{ours}/project")
    return rules + norm_rules(f"{theirs}.conv.{j + 1}", f"{ours}/project", norm)


def _v3_block(
    theirs: str, ours: str, row: Row, expands: bool, norm: Norm
) -> list[Rule]:
    """`block.{j}` counts what the block has of the four."""
    names = ["expand"] * expands + ["depthwise"]
    names += ["squeeze"] * row.squeeze + ["project"]
    rules = []
    for j, name in enumerate(names):
        if name == "squeeze":
            rules += conv_rules(f"{theirs}.block.{j}.fc1", f"{ours}/squeeze")
            rules += conv_rules(f"{theirs}.block.{j}.fc2", f"{ours}/excite")
        else:
            rules += _normed_rules(f"{theirs}.block.{j}", f"{ours}/{name}", norm)
    return rules


def _normed_rules(theirs: str, ours: str, norm: Norm) -> list[Rule]:
    """Returns the rows of a convolution and its norm."""
    return conv_rules(f"{theirs}.0", ours) + norm_rules(f"{theirs}.1", ours, norm)
