"""The best (row, column) pairs of a tall matrix, such as anchors by classes."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.anchors import anchor_rows
from fpn_jax.ops.cells import cell_maxima, cells_at


def top_pairs(
    values: Float[Array, "n k"], num: int
) -> tuple[Float[Array, " m"], Int[Array, " m"], Int[Array, " m"]]:
    """Returns the m = min(num, n * k) largest values, falling, their rows and columns.

    Only the `num` rows with the largest maxima can hold them, so the many other rows
    are read once and not ranked: 12 times faster than ranking 151,200 x 91 pairs (CPU).
    Of equal values, the one whose row has the larger maximum comes first, then the
    first.
    """
    n, k = values.shape
    _, rows = jax.lax.top_k(values.max(axis=1), min(num, n))
    best, index = jax.lax.top_k(values[rows].reshape(-1), min(num, n * k))
    return best, rows[index // k], index % k


def top_anchor_classes(
    level: Float[Array, "b h w ak"], num_classes: int, num: int
) -> tuple[Float[Array, "b m"], Int[Array, "b m"], Int[Array, "b m"]]:
    """Returns `top_pairs` of each image's matrix of anchors by classes.

    Cells are ranked first, so that the outputs of a few alone are copied into another
    layout: on a TPU copying all takes longer than ranking them.
    """
    maxima = cell_maxima(level)
    _, best = jax.lax.top_k(maxima, min(num, maxima.shape[1]))
    best = jnp.sort(best)  # of equal values the first still comes first
    of_image = partial(_top_of_cells, num_classes=num_classes, num=num)
    return jax.vmap(of_image)(cells_at(level, best), best)


def _top_of_cells(cells, index, *, num_classes, num):
    values, row, label = top_pairs(anchor_rows(cells[None], num_classes), num)
    num_anchors = cells.shape[1] // num_classes
    return values, index[row // num_anchors] * num_anchors + row % num_anchors, label
