"""Reads a few cells of a feature map, or the maxima of all, as a TPU keeps the map.

A TPU keeps the images, or their strips, beside the channels. Where a cell's channels
are taken from each image by itself, all of the map is moved first: for the class logits
of RetinaNet in four images that takes 2 ms (compiled for a v5e chip), longer than the
ranking of its cells.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.meshes import images_per_device, is_for_tpu
from fpn_jax.ops.strips import cut, joined, strips_of


def cell_maxima(level: Float[Array, "b h w c"]) -> Float[Array, "b hw"]:
    """Returns the largest channel of every cell, row by row."""
    strips = strips_of(level)  # nothing is cut where `joined` has just made the level
    maxima = cut(level, strips).max(axis=-1, keepdims=True)
    return joined(maxima, strips).reshape(level.shape[0], -1)


def cells_at(
    level: Float[Array, "b h w c"], index: Int[Array, "b m"]
) -> Float[Array, "b m c"]:
    """Returns the cells of each image by their index, which counts row by row.

    Example: in a map of 32 columns, 35 is the cell of row 1, column 3.
    """
    images, height, width, channels = level.shape
    if not _has_tables(level):
        return _rows_at(level.reshape(images, height * width, channels), index)
    strips = strips_of(level)
    columns = width // strips
    # One table for each device: (row, column of a strip, strip of any image), channels.
    beside = images_per_device(level) * strips
    level = cut(level, strips).reshape(-1, beside, height, columns, channels)
    level = level.transpose(0, 2, 3, 1, 4).reshape(len(level), -1, channels)
    row, column = index // width, index % width
    first = jnp.arange(images, dtype=index.dtype) * strips % beside
    strip = first[:, None] + column // columns
    places = (row * columns + column % columns) * beside + strip
    cells = _rows_at(level, places.reshape(len(level), -1))
    return cells.reshape(images, -1, channels)


def _has_tables(level: jax.Array) -> bool:
    """Whether the map is for TPUs, and each has `images_per_device` of its images."""
    if not all(isinstance(side, int) for side in level.shape):
        return False  # exported for any number of images
    return is_for_tpu(level) and len(level) % images_per_device(level) == 0


def _rows_at(
    tables: Float[Array, "t n c"], index: Int[Array, "t m"]
) -> Float[Array, "t m c"]:
    return jax.vmap(lambda table, index: table[index])(tables, index)
