"""The tower of a dense head (RetinaNet, figure 3 c): the same for all its levels."""

from collections.abc import Callable

import flax.linen as nn

from fpn_jax.layers import Conv
from fpn_jax.types import Pyramid


def tower(
    pyramid: Pyramid, conv: Callable[..., Conv], *, name: str, num_convs: int
) -> Pyramid:
    """Returns every level after `num_convs` convolutions, each with a ReLU.

    The levels share the convolutions `{name}_conv0` …, which belong to the module in
    whose `__call__` this is called.
    """
    for i in range(num_convs):
        layer = conv(name=f"{name}_conv{i}")
        pyramid = {level: nn.relu(layer(x)) for level, x in pyramid.items()}
    return pyramid
