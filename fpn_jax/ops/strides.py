"""Every n-th pixel."""

import jax
from jaxtyping import Array, Shaped


def strided(
    x: Shaped[Array, "b h w c"], stride: int = 2, *, row: int = 0, column: int = 0
) -> Shaped[Array, "b _h _w c"]:
    """Returns `x[:, row::stride, column::stride]` as a slice.

    Where that number is open JAX makes a gather of an index, with a table of places.
    """
    return jax.lax.slice(x, (0, row, column, 0), x.shape, (1, stride, stride, 1))
