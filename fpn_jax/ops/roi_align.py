"""RoIAlign (Mask R-CNN, section 3) on one feature map and on a pyramid.

A region is cut into size x size bins, and the features are averaged over
sampling_ratio x sampling_ratio points of each bin, interpolated bilinearly. That is
separable: along one axis a bin reads 2 * sampling_ratio cells with known weights, its
taps. So a bin is a short sum of weighted rows of the map,

    sum over j, k of wy[j] * wx[k] * features[y[j], x[k]],

which XLA fuses: no gathered window is ever stored. No gradient goes to the boxes.
"""

import math
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.boxes import area
from fpn_jax.ops.meshes import rows_of, varied_as
from fpn_jax.types import Pyramid

# Regions whose gradients are added by one scatter. On a CPU 4 keep the updates in the
# cache, four times faster than all at once; a GPU starts few enough kernels.
_REGIONS_AT_A_TIME = 4
# Regions pooled in one step of a loop. Without the loop XLA on a CPU fuses the gathers
# with the reshape to a matrix that follows in a box head, and no longer reads whole
# rows: pooling 1000 boxes and the first linear layer took three times as long.
_POOLED_AT_A_TIME = 128


def assign_levels(
    boxes: Float[Array, "*b n 4"],
    levels: tuple[int, ...],
    *,
    canonical_size: int | float = 224,
) -> Int[Array, "*b n"]:
    """Returns the pyramid level that each box is pooled from: int32, one of `levels`.

    k = floor(4 + log2(sqrt(area) / canonical_size)), clamped to the lowest and highest
    of the levels (FPN, eq. 1): a box of 224 x 224 px belongs to level 4, on images of
    800 px, that is; smaller canvases want a smaller size. 1e-6 is added before the
    floor, as in torchvision, so that sides of 112, 224 and 448 px surely reach their
    level. A box of no area takes the lowest.
    """
    side = jnp.sqrt(area(boxes))
    level = jnp.floor(4 + jnp.log2(side / canonical_size) + 1e-6)
    return jnp.clip(level, min(levels), max(levels)).astype(jnp.int32)


def roi_align(
    features: Float[Array, "h w c"],
    boxes: Float[Array, "n 4"],
    *,
    size: int,
    scale: float,
    sampling_ratio: int = 2,
    aligned: bool = False,
) -> Float[Array, "n {size} {size} c"]:
    """Returns the features of one image in size x size bins of each box.

    `scale` turns pixels into cells, 1/4 for P2. Of a map's cell (y, x) the features are
    at the point (y, x) by default, and sides are at least one cell, as in torchvision's
    detectors; with `aligned` they are at (y + 1/2, x + 1/2), as in Detectron2's.

    A sample more than one cell outside the map, [-1, h] x [-1, w], counts as 0, and one
    less outside as the map's border. Weights and sums are float32, the result has the
    features' dtype.

    Raises:
      ValueError: for a size or sampling_ratio below 1; torchvision's ratio -1, as many
        samples as the bin has cells, has no static shape.
    """
    height, width, channels = features.shape
    plan = _Plan(((height, width),), (scale,), size, sampling_ratio, aligned)
    _check(plan)
    levels = jnp.zeros(len(boxes), jnp.int32)
    return _pool(plan, (features.reshape(-1, channels),), boxes, levels)


def pyramid_roi_align(
    pyramid: Pyramid,
    boxes: Float[Array, "b r 4"],
    *,
    canvas: tuple[int, int],
    size: int,
    sampling_ratio: int = 2,
    aligned: bool = False,
    canonical_size: int | float = 224,
) -> Float[Array, "b r {size} {size} c"]:
    """Returns roi_align of each box on the level that assign_levels gives it.

    All the pyramid's levels take part; pass fewer to pool from fewer. The scale of a
    level is 2**round(log2(feature height / canvas height)), as torchvision infers it:
    levels of a MobileNet may share a stride, and P5 of 800 px, 25 cells, has 1/32.

    Raises:
      ValueError: unless the levels are consecutive; and as roi_align.
    """
    levels = tuple(sorted(pyramid))
    if not levels or levels[-1] - levels[0] >= len(levels):
        raise ValueError(f"pyramid has the levels {levels}, not consecutive ones")
    maps = [pyramid[level] for level in levels]
    grids = tuple((x.shape[1], x.shape[2]) for x in maps)
    scales = tuple(2.0 ** round(math.log2(height / canvas[0])) for height, _ in grids)
    plan = _Plan(grids, scales, size, sampling_ratio, aligned)
    _check(plan)
    rows = tuple(x.reshape(x.shape[0], -1, x.shape[-1]) for x in maps)
    order = assign_levels(boxes, levels, canonical_size=canonical_size) - levels[0]
    return jax.vmap(partial(_pool, plan))(rows, boxes, order)


class _Plan(NamedTuple):
    """What is known at trace time."""

    grids: tuple[tuple[int, int], ...]  # height and width of each map
    scales: tuple[float, ...]  # cells per pixel of each map
    size: int
    sampling_ratio: int
    aligned: bool


def _check(plan: _Plan) -> None:
    for name in ("size", "sampling_ratio"):
        if getattr(plan, name) < 1:
            raise ValueError(f"{name} is {getattr(plan, name)}, not 1 or more")


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(
    plan: _Plan,
    maps: tuple[Float[Array, "_ c"], ...],
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
) -> Float[Array, "n size size c"]:
    """Returns the bins of each box from the map of that number, given row by row."""
    n, channels = len(boxes), maps[0].shape[-1]
    num_steps = max(1, -(-n // _POOLED_AT_A_TIME))
    num = max(1, -(-n // num_steps))  # steps of nearly equal size
    regions = _filled_up((boxes, levels), num)

    def read(step, pooled):
        part = _read(plan, maps, *_part(regions, step, num))
        return jax.lax.dynamic_update_slice_in_dim(pooled, part, step * num, axis=0)

    # Written in place: `lax.map` puts the steps before the images of a batch, and takes
    # a copy of all bins to put them behind.
    shape = (num_steps * num, plan.size, plan.size, channels)
    pooled = varied_as(jnp.zeros(shape, maps[0].dtype), *maps, boxes, levels)
    return jax.lax.fori_loop(0, num_steps, read, pooled)[:n]


def _read(
    plan: _Plan,
    maps: tuple[Float[Array, "_ c"], ...],
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
) -> Float[Array, "n size size c"]:
    """Does the work of `_pool` in one pass over the boxes.

    Every map is asked for every box, and the boxes of others read its first cells: they
    stay in the cache, where joining the maps would copy the whole pyramid.
    """
    pooled = jnp.zeros((), jnp.float32)
    for level, rows in enumerate(maps):
        here = levels == level
        taps = _taps(
            plan, jnp.where(here[:, None], boxes, 0), jnp.full_like(levels, level)
        )
        read = sum(
            rows[i].astype(jnp.float32) * w[..., None]
            for i, w in zip(*taps, strict=True)
        )
        pooled = jnp.where(here[:, None, None, None], read, pooled)
    return pooled.astype(maps[0].dtype)


def _pool_forward(plan, maps, boxes, levels):
    return _pool(plan, maps, boxes, levels), (boxes, levels)


def _pool_backward(plan, regions, gradient):
    """Returns the transpose: what each bin read is added to, in float32."""
    ends = list(accumulate(height * width for height, width in plan.grids))
    first = jnp.array([0, *ends[:-1]], jnp.int32)

    num = _REGIONS_AT_A_TIME
    regions = _filled_up((*regions, gradient), num)

    def add(step, total):
        boxes, levels, gradient = _part(regions, step, num)
        index, weight = _taps(plan, boxes, levels)
        index += rows_of(first, levels)[None, :, None, None]
        gradient = gradient.astype(jnp.float32)
        return total.at[index].add(gradient[None] * weight[..., None])

    total = jnp.zeros((ends[-1], gradient.shape[-1]), jnp.float32)
    total = varied_as(total, *regions)
    total = jax.lax.fori_loop(0, len(regions[0]) // num, add, total)
    maps = jnp.split(total.astype(gradient.dtype), ends[:-1])
    return tuple(maps), None, None


_pool.defvjp(_pool_forward, _pool_backward)


def _filled_up(regions: tuple[Array, ...], num: int) -> tuple[Array, ...]:
    """Returns the rows with zeros behind them, up to a multiple of `num`, not of 0."""
    padding = max(-len(regions[0]) % num, num - len(regions[0]))
    return tuple(
        jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)) for rows in regions
    )


def _part(regions: tuple[Array, ...], step: Array, num: int) -> tuple[Array, ...]:
    """Returns the `num` rows of a step."""
    return tuple(
        jax.lax.dynamic_slice_in_dim(rows, step * num, num) for rows in regions
    )


def _taps(
    plan: _Plan, boxes: Float[Array, "n 4"], levels: Int[Array, " n"]
) -> tuple[Int[Array, "taps n size size"], Float[Array, "taps n size size"]]:
    """Returns which rows of its map each bin reads, and with which weights."""
    height, width = rows_of(jnp.array(plan.grids, jnp.int32), levels).T
    scale = rows_of(jnp.array(plan.scales, jnp.float32), levels)
    x1, y1, x2, y2 = boxes.astype(jnp.float32).T * scale[None]
    y, wy = _axis_taps(plan, y1, y2, height)
    x, wx = _axis_taps(plan, x1, x2, width)
    shape = (len(y) * len(x), len(boxes), plan.size, plan.size)
    row = y * width[None, :, None]
    index = row[:, None, :, :, None] + x[None, :, :, None, :]
    weight = wy[:, None, :, :, None] * wx[None, :, :, None, :]
    return index.reshape(shape), weight.reshape(shape)


def _axis_taps(
    plan: _Plan,
    start: Float[Array, " n"],
    end: Float[Array, " n"],
    extent: Int[Array, " n"],
) -> tuple[Int[Array, "taps n size"], Float[Array, "taps n size"]]:
    """Returns the cells that each bin reads along one axis, and their weights."""
    start, side = start[:, None], (end - start)[:, None]
    if plan.aligned:
        start = start - 0.5
    else:
        side = jnp.maximum(side, 1)
    bin_side, last = side / plan.size, (extent - 1)[:, None]
    border = last.astype(jnp.float32)
    bin_start = start + jnp.arange(plan.size, dtype=jnp.float32)[None] * bin_side
    index, weight = [], []
    for sample in range(plan.sampling_ratio):
        position = bin_start + (sample + 0.5) * bin_side / plan.sampling_ratio
        inside = (position >= -1) & (position <= border + 1)
        position = jnp.clip(position, 0, border)
        low = jnp.floor(position)
        fraction = position - low
        low = low.astype(jnp.int32)
        index += [low, jnp.minimum(low + 1, last)]
        weight += [jnp.where(inside, part, 0) for part in (1 - fraction, fraction)]
    return jnp.stack(index), jnp.stack(weight) / plan.sampling_ratio
