"""The table of torchvision's MobileNetV3, the classifiers' as the detectors'."""

from fpn_jax.backbones.mobilenet_v3 import ROWS, MobileNetV3, Row, scaled
from fpn_jax.layers import Norm
from fpn_jax.weights.layer_rules import conv_rules, norm_rules
from fpn_jax.weights.state_dicts import Rule


def mobilenet_v3_rules(backbone: MobileNetV3, *, prefix: str) -> list[Rule]:
    """Returns the table of the layers that torchvision counts from 0.

    `prefix` is "features." in a classifier, and "" in the body of a detector, which is
    those layers alone. Layers that the backbone does not build are left out.
    """
    top = max(backbone.levels)
    channels = scaled(16, backbone.width)
    rules = _normed_rules(f"{prefix}0", "stem/conv", backbone.norm)
    index = 1
    for stage, rows in enumerate(ROWS[backbone.size], start=1):
        for i, row in enumerate(rows):
            theirs = f"{prefix}{index}"
            ours = f"{'stem' if stage == 1 else f'stage{stage}'}/block{i}"
            if stage < top or (stage == top and i == 0):
                expands = scaled(row.expanded, backbone.width) != channels
                rules += _block_rules(theirs, ours, row, expands, backbone.norm)
            else:
                rules.append(Rule(f"{theirs}.*", None))
            channels = scaled(row.features, backbone.width)
            index += 1
    last = f"{prefix}{index}"
    if top == 6:
        return rules + _normed_rules(last, "stage6/conv", backbone.norm)
    return [*rules, Rule(f"{last}.*", None)]


def _block_rules(
    theirs: str, ours: str, row: Row, expands: bool, norm: Norm
) -> list[Rule]:
    """`block.{j}` counts what the bottleneck has of the four."""
    rules = []
    j = 0
    for name, there in (
        ("expand", expands),
        ("depthwise", True),
        ("squeeze", row.squeeze),
        ("project", True),
    ):
        if not there:
            continue
        if name == "squeeze":
            rules += conv_rules(f"{theirs}.block.{j}.fc1", f"{ours}/squeeze")
            rules += conv_rules(f"{theirs}.block.{j}.fc2", f"{ours}/excite")
        else:
            rules += _normed_rules(f"{theirs}.block.{j}", f"{ours}/{name}", norm)
        j += 1
    return rules


def _normed_rules(theirs: str, ours: str, norm: Norm) -> list[Rule]:
    """Returns the rows of a convolution and its norm."""
    return conv_rules(f"{theirs}.0", ours) + norm_rules(f"{theirs}.1", ours, norm)
