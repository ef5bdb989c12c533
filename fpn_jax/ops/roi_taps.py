"""The cells of a feature map that each bin of a region reads, with their weights.

Bilinear interpolation is separable: along an axis a bin reads a few cells, its taps,
and the weight of a cell is the product of two. With a fixed number of samples each of
them reads two cells. With as many samples as a bin has cells (sampling_ratio 0, which
is Detectron2's) the number of taps depends on the region. They come in blocks then, and
the largest region decides how many blocks there are: nothing is cut off, and the weight
behind the last tap of a region is 0.

Taps are counted along the lines of a map, so that two after each other can be the
neighbors of a line, a pair: with a fixed number of samples they always are, and blocks
have them where they are asked for. A pair at the end of a line has a second tap of
weight 0.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.meshes import rows_of

# Taps that are added in one step of a loop: all that a region with 2 x 2 samples has.
_TAPS_AT_A_TIME = 9
# The same in pairs: half of what a region with 3 x 3 samples has.
_PAIRS_AT_A_TIME = 4
# Samples at most within a cell to either side of a cell: they are more than half a cell
# apart where a bin has several. One more than 4, since the first is found by rounding.
_SAMPLES_NEAR_A_CELL = 5


class Plan(NamedTuple):
    """Shapes of the maps and of the bins, known at trace time."""

    grids: tuple[tuple[int, int], ...]  # height and width of each map
    scales: tuple[float, ...]  # cells per pixel of each map
    size: int  # bins along a side
    sampling_ratio: int  # samples along a side of a bin; 0: as many as it has cells
    aligned: bool


class Axis(NamedTuple):
    """The bins of regions along one axis, in cells."""

    start: Float[Array, "n size"]  # of each bin
    side: Float[Array, "n 1"]  # of a bin
    samples: Float[Array, "n 1"]  # of a bin; a whole number, 0 in a region of no side
    last: Int[Array, "n 1"]  # cell of the map


def num_taps(
    plan: Plan, boxes: Float[Array, "n 4"], levels: Int[Array, " n"]
) -> Int[Array, "n 2"]:
    """Returns how many taps a bin of each box has at most, and how many pairs of them.

    0 where the number is fixed.
    """
    if plan.sampling_ratio:
        return jnp.zeros((len(levels), 2), jnp.int32)
    y, x = _axes(plan, boxes, levels)
    lines, columns = _num_taps(y), _num_taps(x)
    return jnp.stack([lines * columns, lines * _num_pairs(columns)], axis=1)


def num_blocks(taps: Int[Array, "n 2"], *, pairs: bool = False) -> Int[Array, ""]:
    """Returns how many blocks of taps, or of pairs, the largest box has."""
    most = jnp.max(taps, axis=0, initial=0)
    if pairs:
        return -(-most[1] // _PAIRS_AT_A_TIME)
    return -(-most[0] // _TAPS_AT_A_TIME)


@partial(jax.jit, static_argnums=0, static_argnames="pairs")  # as fixed_taps
def block_of_taps(
    plan: Plan,
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    block: Array,
    *,
    pairs: bool = False,
) -> tuple[Int[Array, "taps n size size"], Float[Array, "taps n size size"]]:
    """Returns the rows that each bin reads in its map, and the weights, of one block.

    `levels` are the numbers of the boxes' maps. A region has at most one tap more along
    an axis than samples. A block of `pairs` has two taps per pair.
    """
    y, x = _axes(plan, boxes, levels)
    columns, num = _num_taps(x), _TAPS_AT_A_TIME
    if pairs:
        columns, num = 2 * _num_pairs(columns), 2 * _PAIRS_AT_A_TIME
    columns = jnp.maximum(columns, 1)
    tap = jnp.arange(num, dtype=jnp.int32) + block * num
    tap = jnp.broadcast_to(tap[:, None], (len(tap), len(boxes)))
    row, wy = _cells(y, tap // columns[None])
    column, wx = _cells(x, tap % columns[None])
    row *= (x.last + 1)[None]
    return row[..., None] + column[:, :, None], wy[..., None] * wx[:, :, None]


@partial(jax.jit, static_argnums=0)  # traced once for all maps that boxes are asked of
def fixed_taps(
    plan: Plan, boxes: Float[Array, "n 4"], levels: Int[Array, " n"]
) -> tuple[Int[Array, "taps n size size"], Float[Array, "taps n size size"]]:
    """Returns rows and weights as `block_of_taps`, for a fixed number of samples."""
    along_y, along_x = _axes(plan, boxes, levels)
    y, wy = _sampled_cells(along_y, plan.sampling_ratio)
    x, wx = _sampled_cells(along_x, plan.sampling_ratio)
    shape = (len(y) * len(x), len(boxes), plan.size, plan.size)
    row = y * (along_x.last + 1)[None]
    index = row[:, None, :, :, None] + x[None, :, :, None, :]
    weight = wy[:, None, :, :, None] * wx[None, :, :, None, :]
    return index.reshape(shape), weight.reshape(shape)


def _axes(plan: Plan, boxes, levels) -> tuple[Axis, Axis]:
    """Returns the bins along y and along x."""
    height, width = rows_of(jnp.array(plan.grids, jnp.int32), levels).T
    scale = rows_of(jnp.array(plan.scales, jnp.float32), levels)
    x1, y1, x2, y2 = boxes.astype(jnp.float32).T * scale[None]
    return _axis(plan, y1, y2, height), _axis(plan, x1, x2, width)


def _axis(plan: Plan, start, end, extent) -> Axis:
    if plan.aligned:
        start, end = start - 0.5, end - 0.5
    start, side = start[:, None], (end - start)[:, None]
    if not plan.aligned:
        side = jnp.maximum(side, 1)
    bin_side = side / plan.size
    first = jnp.arange(plan.size, dtype=jnp.float32)[None] * bin_side
    return Axis(
        start=start + first,
        side=bin_side,
        samples=_num_samples(plan, side),
        last=(extent - 1)[:, None],
    )


def _num_samples(plan: Plan, side):
    if plan.sampling_ratio:
        return jnp.full_like(side, plan.sampling_ratio)
    # ceil(side / size) of exact arithmetic: a compiler may multiply by 1 / size, which
    # makes 3.0000002 of 21 / 7.
    nearest = jnp.round(side / plan.size)
    samples = jnp.where(side > nearest * plan.size, nearest + 1, nearest)
    return jnp.where(jnp.isfinite(samples), jnp.maximum(samples, 0), 0)


def _num_taps(axis: Axis) -> Int[Array, " n"]:
    """Returns how many neighboring cells a bin of each region reads at most."""
    cells = (axis.last + 1).astype(jnp.float32)
    most = jnp.minimum(axis.samples + 1, cells)
    return jnp.where(axis.samples > 0, most, 0)[:, 0].astype(jnp.int32)


def _num_pairs(columns: Int[Array, " n"]) -> Int[Array, " n"]:
    return -(-columns // 2)


def _cells(axis: Axis, tap):
    """Returns the cells [taps, n, size] of the `tap [taps, n]`th of each bin."""
    border = axis.last.astype(jnp.float32)
    spacing = axis.side / jnp.maximum(axis.samples, 1)
    sample = axis.start + spacing / 2  # the first of each bin
    first = jnp.clip(jnp.floor(sample), 0, border)[None]
    cell = first + tap[..., None].astype(jnp.float32)
    # The sample at, or before, the cell before this one.
    before = jnp.floor((cell - 1 - sample[None]) / jnp.maximum(spacing, 0.5)[None])
    before = jnp.clip(before, 0, jnp.maximum(axis.samples - 1, 0)[None])
    weight = jnp.zeros_like(cell)
    for i in range(_SAMPLES_NEAR_A_CELL):
        number = before + i
        position = axis.start[None] + (number + 0.5) * spacing[None]
        inside = (position >= -1) & (position <= border[None] + 1)
        share = 1 - jnp.abs(jnp.clip(position, 0, border[None]) - cell)
        counts = inside & (number < axis.samples[None])
        weight += jnp.where(counts, jnp.maximum(share, 0), 0)
    weight /= jnp.maximum(axis.samples, 1)[None]
    weight = jnp.where(cell <= border[None], weight, 0)
    return jnp.clip(cell, 0, border[None]).astype(jnp.int32), weight


def _sampled_cells(axis: Axis, sampling_ratio: int):
    """Returns the two cells [taps, n, size] that each sample reads, and weights."""
    border = axis.last.astype(jnp.float32)
    index, weight = [], []
    for sample in range(sampling_ratio):
        position = axis.start + (sample + 0.5) * axis.side / sampling_ratio
        inside = (position >= -1) & (position <= border + 1)
        position = jnp.clip(position, 0, border)
        low = jnp.floor(position)
        fraction = position - low
        low = low.astype(jnp.int32)
        index += [low, jnp.minimum(low + 1, axis.last)]
        weight += [jnp.where(inside, part, 0) for part in (1 - fraction, fraction)]
    return jnp.stack(index), jnp.stack(weight) / sampling_ratio
