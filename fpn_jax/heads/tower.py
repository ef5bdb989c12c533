"""The tower of a dense head (RetinaNet, figure 3 c): the same for all its levels."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from fpn_jax.layers import Conv
from fpn_jax.ops.strips import cut, joined, strips_of
from fpn_jax.types import Pyramid


def tower(
    pyramid: Pyramid,
    conv: Callable[..., Conv],
    outputs: Sequence[Conv],
    *,
    name: str,
    num_convs: int,
) -> tuple[Pyramid, ...]:
    """Returns a pyramid for each of the convolutions `outputs`, in their order.

    They follow a tower of `num_convs` convolutions, each with a ReLU. The levels share
    them all; the tower's are `{name}_conv0` … of the module in whose `__call__` this is
    called.
    """
    layers = [conv(name=f"{name}_conv{i}") for i in range(num_convs)]
    levels = {level: _level(x, layers, outputs) for level, x in pyramid.items()}
    return tuple(
        {level: maps[i] for level, maps in levels.items()} for i in range(len(outputs))
    )


def _level(
    x: jax.Array, layers: Sequence[Conv], outputs: Sequence[Conv]
) -> list[jax.Array]:
    strips = strips_of(x)
    x = cut(x, strips)
    for layer in layers:
        x = nn.relu(layer(x, strips=strips))
    return [joined(output(x, strips=strips), strips) for output in outputs]
