"""Levels above the top one of a neck, for objects too large for C5."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax

from fpn_jax.choices import check_choice
from fpn_jax.layers import Conv
from fpn_jax.ops.strides import strided
from fpn_jax.types import Pyramid

ExtraLevels = Literal["none", "pool", "conv_p5", "conv_c5"]
NUM_EXTRA = {"none": 0, "pool": 1, "conv_p5": 2, "conv_c5": 2}


def extra_levels(
    kind: ExtraLevels,
    conv: Callable[..., Conv],
    *,
    top: int,
    c_top: jax.Array,
    p_top: jax.Array,
) -> Pyramid:
    """Makes P6, or P6 and P7, from the top level; the text says 5 for `top`.

    `pool`: P6 is every second pixel of P5 (the paper's, for the RPN). `conv_p5` and
    `conv_c5`: P6 is a 3x3 convolution of stride 2 of P5 or C5, and P7 is one of
    relu(P6) (RetinaNet). The convolutions belong to the module in whose `__call__` this
    is called.
    """
    check_choice("extra", kind, NUM_EXTRA)
    if kind == "none":
        return {}
    if kind == "pool":
        return {top + 1: strided(p_top)}
    source = p_top if kind == "conv_p5" else c_top
    p6 = conv(kernel_size=3, stride=2, name=f"p{top + 1}")(source)
    p7 = conv(kernel_size=3, stride=2, name=f"p{top + 2}")(nn.relu(p6))
    return {top + 1: p6, top + 2: p7}
