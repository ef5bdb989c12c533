"""Anchors: pure functions of the canvas and the grids of the pyramid's levels.

A level's anchors are ordered by row, column, ratio, size, which is the channel order of
a torchvision head. The first cell's anchors are centered on (0, 0), the corner of the
canvas, not on half a stride. Pairs are (height, width), ratios are height / width.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from fpn_jax.choices import check_choice
from fpn_jax.ops.boxes import Number
from fpn_jax.ops.cells import cells_at


def grids_of(maps: Mapping[int, Array]) -> dict[int, tuple[int, int]]:
    """Returns the rows and columns of every level's map [*B, H, W, C], finest first."""
    shapes = {level: maps[level].shape for level in sorted(maps)}
    return {level: (shape[-3], shape[-2]) for level, shape in shapes.items()}


def anchor_rows(
    level: Num[Array, "*b h w ac"], channels: int
) -> Num[Array, "*b hwa {channels}"]:
    """Returns a level's outputs, a row for each anchor, in the order of the anchors.

    `channels` belong to one anchor, side by side. In two steps: JAX does not know how
    the result of both at once lies on a mesh whose axes are explicit.
    """
    *batch, height, width, values = level.shape
    split = level.reshape(*batch, height, width, values // channels, channels)
    return split.reshape(*batch, height * width * (values // channels), channels)


def anchor_rows_at(
    level: Float[Array, "b h w ac"], index: Int[Array, "b m"], channels: int
) -> Float[Array, "b m {channels}"]:
    """Returns the rows of `anchor_rows(level, channels)` that each image's index names.

    Whole cells are gathered, then one anchor is selected in each. Gathering from
    `anchor_rows` itself would copy all of the map into another layout on a TPU.
    """
    num_anchors = level.shape[-1] // channels
    cells = cells_at(level, index // num_anchors)
    of_cell = cells.reshape(*index.shape, num_anchors, channels)
    numbers = jnp.arange(num_anchors, dtype=index.dtype)
    chosen = numbers[None, None] == (index % num_anchors)[..., None]
    return jnp.sum(of_cell, axis=2, where=chosen[..., None], dtype=level.dtype)


def cell_anchors(
    sizes: Sequence[Number], ratios: Sequence[Number], *, rounded: bool = True
) -> Float[np.ndarray, "a 4"]:
    """Returns the anchors of a cell, centered on (0, 0): all sizes of the first ratio,
    then of the second.

    A size is the square root of the anchor's area. Rounded to whole pixels, half to
    even, as in torchvision; Detectron2 does not round. NumPy float32, at trace time:
    bit for bit torchvision's. Example: size 32, ratio 0.5 -> (-23, -11, 23, 11).
    """
    tall = np.sqrt(np.asarray(ratios, np.float32))
    heights = np.outer(tall, np.asarray(sizes, np.float32)).ravel()
    widths = np.outer(1 / tall, np.asarray(sizes, np.float32)).ravel()
    corners = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    return np.round(corners) if rounded else corners


def level_anchors(
    cell: Float[np.ndarray, "a 4"], grid: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "hwa 4"]:
    """Returns the cell's anchors at every cell of a grid, `stride` pixels apart."""
    points = level_points(grid, stride)
    around = jnp.asarray(cell, jnp.float32)
    return (jnp.tile(points, 2)[:, None] + around[None]).reshape(-1, 4)


def level_points(
    grid: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "hw 2"]:
    """Returns the point (x, y) of every cell of a grid, `stride` pixels apart."""
    # Under jit an iota, not a constant: XLA folds megabytes of constants slowly.
    y = jax.lax.broadcasted_iota(jnp.float32, grid, 0) * stride[0]
    x = jax.lax.broadcasted_iota(jnp.float32, grid, 1) * stride[1]
    return jnp.stack([x, y], axis=-1).reshape(-1, 2)


def pyramid_anchors(
    canvas: tuple[int, int],
    grids: Mapping[int, tuple[int, int]],
    sizes: Mapping[int, tuple[Number, ...]],
    ratios: Sequence[Number],
    *,
    stride_rule: str,
    rounded: bool = True,
) -> dict[int, Array]:
    """Returns the anchors [H_l * W_l * A_l, 4] of every level l.

    Strides are those of `level_strides`.

    Raises:
      ValueError: if grids and sizes name different levels, or for another rule.
    """
    if grids.keys() != sizes.keys():
        raise ValueError(
            f"sizes has the levels {sorted(sizes)}, grids has {sorted(grids)}"
        )
    strides = level_strides(canvas, grids, stride_rule)
    return {
        level: level_anchors(
            cell_anchors(sizes[level], ratios, rounded=rounded), grid, strides[level]
        )
        for level, grid in grids.items()
    }


def pyramid_points(
    canvas: tuple[int, int],
    grids: Mapping[int, tuple[int, int]],
    *,
    stride_rule: str,
) -> dict[int, Array]:
    """Returns the points (x, y) [H_l * W_l, 2] of every level l, row by row.

    Like the anchors' centers they start at (0, 0), as in torchvision; the FCOS paper
    starts at half a stride. Strides are those of `level_strides`.
    """
    strides = level_strides(canvas, grids, stride_rule)
    return {level: level_points(grid, strides[level]) for level, grid in grids.items()}


def level_strides(
    canvas: tuple[int, int], grids: Mapping[int, tuple[int, int]], rule: str
) -> dict[int, tuple[int, int]]:
    """Returns how many pixels the cells of each level are apart, (down, across).

    That is `canvas // grid` by the rule "canvas", as in torchvision, and `2**level` by
    the rule "level", as Detectron2's strides. They differ where the grid was rounded
    up: a canvas of 800x1344 gives P6 13x21 cells of (61, 64) px, not (64, 64).

    Raises:
      ValueError: for another rule.
    """
    check_choice("stride_rule", rule, ("canvas", "level"))
    if rule == "level":
        return {level: (2**level, 2**level) for level in grids}
    return {
        level: (canvas[0] // grid[0], canvas[1] // grid[1])
        for level, grid in grids.items()
    }
