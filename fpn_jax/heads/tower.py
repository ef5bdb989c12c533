"""The tower of a dense head (RetinaNet, figure 3 c): the same for all its levels."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from fpn_jax.layers import Conv
from fpn_jax.ops.strips import cut, joined, strips_of
from fpn_jax.types import Pyramid


def tower(
    pyramid: Pyramid, conv: Callable[..., Conv], *, name: str, num_convs: int
) -> Pyramid:
    """Returns every level after `num_convs` convolutions, each with a ReLU.

    The levels share the convolutions `{name}_conv0` …, which belong to the module in
    whose `__call__` this is called.
    """
    layers = [conv(name=f"{name}_conv{i}") for i in range(num_convs)]
    return {level: _level(x, layers) for level, x in pyramid.items()}


def _level(x: jax.Array, layers: Sequence[Conv]) -> jax.Array:
    strips = strips_of(x)
    x = cut(x, strips)
    for layer in layers:
        x = nn.relu(layer(x, strips=strips))
    return joined(x, strips)
