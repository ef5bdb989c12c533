"""The tensors of single torch layers: what the tables of whole networks are made of."""

import numpy as np

from fpn_jax.layers import Norm
from fpn_jax.weights.state_dicts import CONV, LINEAR, Layout, Rule


def flattened(size: int) -> Layout:
    """Returns the layout of a linear layer on flattened features of size x size.

    There the inputs are counted channel by channel (C, H, W), here pixel by pixel
    (H, W, C).
    """

    def to_ours(x: np.ndarray) -> np.ndarray:
        x = x.reshape(len(x), -1, size, size)
        return x.transpose(2, 3, 1, 0).reshape(-1, len(x))

    def to_theirs(x: np.ndarray) -> np.ndarray:
        x = x.reshape(size, size, -1, x.shape[-1])
        return x.transpose(3, 2, 0, 1).reshape(x.shape[-1], -1)

    return Layout(to_ours, to_theirs)


def conv_rules(theirs: str, ours: str, layout: Layout = CONV) -> list[Rule]:
    """Returns the rows of a convolution's weight and bias."""
    return [
        Rule(f"{theirs}.weight", f"params/{ours}/kernel", layout),
        Rule(f"{theirs}.bias", f"params/{ours}/bias"),
    ]


def linear_rules(theirs: str, ours: str) -> list[Rule]:
    """Returns the rows of a linear layer's weight and bias."""
    return conv_rules(theirs, ours, LINEAR)


def norm_rules(theirs: str, ours: str, norm: Norm) -> list[Rule]:
    """Returns the rows of the norm that follows the convolution `ours`.

    The number of batches that a batch norm has seen is left out: it has no use with a
    fixed momentum, and ours does not count.
    """
    affine = "batch_stats" if norm == "frozen" else "params"
    return [
        Rule(f"{theirs}.weight", f"{affine}/{ours}/norm/scale"),
        Rule(f"{theirs}.bias", f"{affine}/{ours}/norm/bias"),
        Rule(f"{theirs}.running_mean", f"batch_stats/{ours}/norm/mean"),
        Rule(f"{theirs}.running_var", f"batch_stats/{ours}/norm/var"),
        Rule(f"{theirs}.num_batches_tracked", None),
    ]


def nested(rules: list[Rule], theirs: str, ours: str) -> list[Rule]:
    """Returns a table whose names lie one module deeper on both sides."""
    return [
        Rule(
            f"{theirs}.{rule.theirs}",
            rule.ours and rule.ours.replace("/", f"/{ours}/", 1),
            rule.layout,
        )
        for rule in rules
    ]
