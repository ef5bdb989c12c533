"""Keypoints <-> cells of a box's heat map (Mask R-CNN, section 5, as torchvision).

A box is divided into `size` x `size` cells, numbered by rows. Boxes are xyxy pixels.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from fpn_jax.ops.meshes import varied_as

# Coefficient of cubic convolution (Keys 1981) in torch and OpenCV. JAX's is -0.5.
_CUBIC_A = -0.75
# The most that the negative weights of the four pixels around a point add up to is
# 0.75 t (1 - t) <= 3/16 along one axis, at its middle; 2 * 3/16 * 19/16 in the plane.
_MAX_NEGATIVE_WEIGHT = 2 * 3 / 16 * 19 / 16
# The search looks at so many tiles of so many pixels at a time.
_TILES = 128
_TILE_SIDE = 32


def keypoint_targets(
    keypoints: Float[Array, "n p 3"], boxes: Float[Array, "n 4"], *, size: int
) -> tuple[Int[Array, "n p"], Bool[Array, "n p"]]:
    """Returns the cell of each keypoint (x, y, visibility), and whether it counts.

    It does if it is annotated (visibility > 0) and inside the box, the right and the
    lower border included: they belong to the last cells. The cell is 0 where not.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    annotated = keypoints[..., 2] > 0
    # Others may hold anything, also what is no number.
    points = jnp.where(annotated[..., None], keypoints[..., :2], low)
    side = high - low
    # Not size / side: where a keypoint lies between two cells, which is usual in the
    # ground truth's own box, torch's rounding decides, and that is of two operations.
    scale = jnp.reciprocal(jnp.where(side > 0, side, 1)) * size
    cell = jnp.floor((points - low) * scale)
    cell = jnp.where(points == high, size - 1, cell)
    inside = ((cell >= 0) & (cell < size)).all(axis=-1)
    valid = inside & annotated
    x, y = jnp.moveaxis(cell, -1, 0)
    return jnp.where(valid, y * size + x, 0).astype(jnp.int32), valid


def decode_keypoints(
    heatmaps: Float[Array, "n s s p"], boxes: Float[Array, "n 4"]
) -> tuple[Float[Array, "n p 2"], Float[Array, "n p"]]:
    """Returns the pixel (x, y) of each map's peak, and the value there.

    The peak is that of the map resized to the pixels of its box, ceil(width) x
    ceil(height), by cubic convolution; the center of the pixel is scaled back to the
    box. Of equal peaks it is the first, by rows. A side below 1 counts as 1; a box
    without area, as padding has, is not looked at: its corner, and value 0.

    Not all of the pixels are computed. Between four pixels of the map the surface
    cannot exceed what `_upper_bounds` says, and the rectangle of those that could hold
    the peak is searched: mostly a few of them, at worst the whole box.
    """
    n, size, _, p = heatmaps.shape
    maps = jnp.moveaxis(heatmaps.astype(jnp.float32), -1, 1).reshape(-1, size, size)
    boxes = boxes.astype(jnp.float32)
    sides = jnp.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    grid = jnp.ceil(sides)  # pixels along x and y
    map_grid = jnp.repeat(grid, p, axis=0)
    padded = _with_edges(_with_edges(maps, 1), 2)
    low, high = _search_rectangles(maps, padded, map_grid)
    empty = jnp.repeat((boxes[:, 2:] <= boxes[:, :2]).any(axis=-1), p)
    high = jnp.where(empty[:, None], low - 1, high)
    values, pixels = _search(padded, map_grid, low, high)

    pixels = pixels.reshape(n, p, 2).astype(jnp.float32)
    xy = (pixels + 0.5) * (sides / grid)[:, None] + boxes[:, None, :2]
    found = ~empty.reshape(n, p)
    return (
        jnp.where(found[..., None], xy, boxes[:, None, :2]),
        jnp.where(found, values.reshape(n, p), 0),
    )


def _search_rectangles(
    maps: Float[Array, "m s s"],
    padded: Float[Array, "m t t"],
    grid: Float[Array, "m 2"],
) -> tuple[Int[Array, "m 2"], Int[Array, "m 2"]]:
    """Returns the first and the last pixel (x, y) of the box where a peak can be."""
    size = maps.shape[-1]
    top, place = _first_maximum(maps.reshape(maps.shape[0], -1))
    near_top = jnp.stack([place % size, place // size], axis=-1)
    near_top = near_top.astype(jnp.float32) + 0.5
    x, y = jnp.moveaxis(jnp.floor(near_top * grid / size), -1, 0)[..., None]
    reached = _values(padded, grid, x, y)[:, 0, 0]
    # The minimum keeps the rectangle from being empty, should all be the same.
    reached = jnp.minimum(reached, top)
    bounds = _upper_bounds(padded)
    bounds = jnp.stack([bounds.max(axis=1), bounds.max(axis=2)], axis=1)
    possible = bounds >= reached[:, None, None]  # [m, 2, s + 1], columns and rows
    first = jax.lax.argmax(possible, 2, jnp.int32).astype(jnp.float32) - 1
    behind = jax.lax.argmax(possible[..., ::-1], 2, jnp.int32)
    end = size - behind.astype(jnp.float32)
    # One pixel more on both sides, for rounding.
    low = jnp.floor((first + 0.5) * grid / size - 0.5) - 1
    high = jnp.ceil((end + 0.5) * grid / size - 0.5) + 1
    return (
        jnp.maximum(low, 0).astype(jnp.int32),
        jnp.minimum(high, grid - 1).astype(jnp.int32),
    )


def _with_edges(x: jax.Array, axis: int) -> jax.Array:
    """Returns the array with its first and last place three times."""
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis)
    return jnp.concatenate([first, first, x, last, last], axis)


def _upper_bounds(padded: Float[Array, "m t t"]) -> Float[Array, "m t-3 t-3"]:
    """Returns what the surface between pixels i, i + 1 and j, j + 1 stays below.

    i and j are -1 … s - 1. The surface is a mean of 4 x 4 pixels whose weights add up
    to 1; with negative ones of -N it is at most max + N (max - min).
    """
    high = _of_four(jnp.maximum, _of_four(jnp.maximum, padded, 1), 2)
    low = _of_four(jnp.minimum, _of_four(jnp.minimum, padded, 1), 2)
    return high + _MAX_NEGATIVE_WEIGHT * (high - low)


def _of_four(best, x, axis):
    """Returns `best` of every four neighbors along an axis; faster than a window."""
    n = x.shape[axis] - 3
    a, b, c, d = (jax.lax.slice_in_dim(x, i, i + n, axis=axis) for i in range(4))
    return best(best(a, b), best(c, d))


@jax.custom_jvp
def _search(
    padded: Float[Array, "m t t"],
    grid: Float[Array, "m 2"],
    low: Int[Array, "m 2"],
    high: Int[Array, "m 2"],
) -> tuple[Float[Array, " m"], Int[Array, "m 2"]]:
    """Returns the highest value of each map in its rectangle, and the pixel (x, y).

    The rectangles are cut into tiles, and the tiles of all maps make one list, of which
    each round of the loop takes the next ones: the work is that of the pixels.
    """
    tiles = -((low - high - 1) // _TILE_SIDE)  # along x and y, rounded up
    numbers = tiles.prod(axis=-1, dtype=jnp.int32)
    ends = jnp.cumsum(numbers, dtype=jnp.int32)
    width = grid[:, 0].astype(jnp.int32)
    no_pixel = jnp.iinfo(jnp.int32).max

    def look_at_next(state):
        start, best, pixel = state
        tile = start + jnp.arange(_TILES, dtype=jnp.int32)
        # Compared with all, since a binary search must know how many there are, which
        # an export for any number of images does not.
        m = jnp.sum(ends[:, None] <= tile[None], axis=0, dtype=jnp.int32)
        # Tiles beyond the last are of no map. ONNX knows no index out of bounds.
        is_one = m < ends.shape[0]
        m = jnp.minimum(m, ends.shape[0] - 1)
        rank = tile - (ends - numbers)[m]
        columns, last = tiles[m][:, 0], high[m]
        corner = jnp.stack([rank % columns, rank // columns], axis=-1)
        corner = low[m] + _TILE_SIDE * corner
        xy = corner[..., None] + jnp.arange(_TILE_SIDE, dtype=jnp.int32)[None, None]
        x, y = xy[:, 0], xy[:, 1]
        values = _values(padded[m], grid[m], x, y)
        inside = (y <= last[:, 1:])[:, :, None] & (x <= last[:, :1])[:, None]
        inside &= is_one[:, None, None]
        values = jnp.where(inside, values, -jnp.inf).reshape(_TILES, -1)
        top, place = _first_maximum(values)
        here = (corner[:, 1] + place // _TILE_SIDE) * width[m]
        here = here + corner[:, 0] + place % _TILE_SIDE

        higher = best.at[m].max(top)
        pixel = jnp.where(higher > best, no_pixel, pixel)
        here = jnp.where(is_one & (top == higher[m]), here, no_pixel)
        return start + _TILES, higher, pixel.at[m].min(here)

    def unfinished(state):
        return state[0] < ends[-1]

    start = (
        jnp.zeros((), jnp.int32),
        jnp.full(grid.shape[:1], -jnp.inf, jnp.float32),
        jnp.full(grid.shape[:1], no_pixel, jnp.int32),
    )
    start = varied_as(start, padded, grid, low, high)
    _, best, pixel = jax.lax.while_loop(unfinished, look_at_next, start)
    return best, jnp.stack([pixel % width, pixel // width], axis=-1)


@_search.defjvp
def _search_jvp(primals, tangents):
    """The values at fixed pixels are linear in the maps."""
    padded, grid, *_ = primals
    best, pixels = _search(*primals)
    x, y = (pixels[:, i, None].astype(jnp.float32) for i in range(2))
    slope = _values(tangents[0], grid, x, y)[:, 0, 0]
    none: Any = np.zeros(pixels.shape, jax.dtypes.float0)  # of integers
    return (best, pixels), (slope, none)


def _first_maximum(
    values: Float[Array, "m k"],
) -> tuple[Float[Array, " m"], Int[Array, " m"]]:
    """Returns the maximum of each row and its first place; `argmax` is slow on CPU."""
    top = values.max(axis=-1)
    place = jnp.arange(values.shape[-1], dtype=jnp.int32)
    place = jnp.broadcast_to(place[None], values.shape)
    return top, jnp.min(
        place, axis=-1, where=values == top[:, None], initial=values.shape[-1] - 1
    )


def _values(
    padded: Float[Array, "m t t"],
    grid: Float[Array, "m 2"],
    x: Int[Array, "m w"] | Float[Array, "m w"],
    y: Int[Array, "m h"] | Float[Array, "m h"],
) -> Float[Array, "m h w"]:
    """Returns the resized maps at the pixels (x, y) of each one's grid."""
    size = padded.shape[-1] - 4
    columns = _cubic_weights(x, grid[:, :1], size)
    rows = _cubic_weights(y, grid[:, 1:], size)
    values = jnp.einsum("mhi,mij->mhj", rows, padded, precision="highest")
    return jnp.einsum("mhj,mwj->mhw", values, columns, precision="highest")


def _cubic_weights(pixels, grid, size: int):
    """Returns the weights of the s + 4 pixels of a padded map in each pixel."""
    place = (pixels.astype(jnp.float32) + 0.5) * (size / grid) - 0.5
    cells = jnp.arange(-2, size + 2, dtype=jnp.float32)
    distance = jnp.abs(place[..., None] - cells[None, None])
    a = _CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0))
