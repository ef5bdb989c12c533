"""Rows of a table of few rows, such as the objects of an image, for many indices."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.meshes import rows_of
from fpn_jax.ops.platforms import by_platform


def rows_of_few(
    table: Float[Array, "g k"], index: Int[Array, " n"]
) -> Float[Array, "n k"]:
    """Returns `table[index]`, the same bits; the index is within the table.

    Entries must be finite.
    """
    # An index has no gradient, which the platforms' choice would ask for.
    return by_platform(multiplied, table, index.astype(jnp.float32), cpu=gathered)


def objects_at(
    boxes: Float[Array, "g 4"], labels: Int[Array, " g"], index: Int[Array, " n"]
) -> tuple[Float[Array, "n 4"], Float[Array, " n"]]:
    """Returns box and label, as a float32, of the object that each anchor has."""
    labels_as_floats = labels[:, None].astype(boxes.dtype)
    rows = rows_of_few(jnp.concatenate([boxes, labels_as_floats], axis=1), index)
    return rows[:, :4], rows[:, 4]


def gathered(table: jax.Array, index: jax.Array) -> jax.Array:
    """Returns the same by a gather: for a CPU."""
    return rows_of(table, index.astype(jnp.int32))


def multiplied(table: jax.Array, index: jax.Array) -> jax.Array:
    """Returns the same by a product with ones: for a TPU.

    There a row that is gathered takes as long as any other, however few there are: of
    100 objects 403,200 for the anchors of two images.
    """
    numbers = jnp.arange(len(table), dtype=jnp.float32)
    chosen = (index[:, None] == numbers[None]).astype(table.dtype)
    return jnp.einsum("ng,gk->nk", chosen, table, precision="highest")
