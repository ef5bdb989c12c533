"""The bins of regions of one image: what they read in its maps, and the transpose.

Maps are given row by row, [height * width, channels] each, and boxes with the number
of the map that each is pooled from. There are two formulations of reading. On a CPU XLA
fuses gathers with their weighted sum, and no window of the maps is stored. For a TPU it
does not, and every row that is gathered takes its time.
"""

from collections.abc import Callable
from functools import partial
from itertools import accumulate

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fpn_jax.ops.meshes import rows_of, varied_as
from fpn_jax.ops.roi_taps import (
    Plan,
    block_of_taps,
    fixed_taps,
    num_blocks,
)

Maps = tuple[Float[Array, "_ c"], ...]

# Bins whose gradients are added by one scatter: 4 regions of 7 x 7. On a CPU they keep
# the updates in the cache, four times faster than all at once. For a TPU XLA sorts the
# rows of larger scatters first, which moves all of them once more: those of twice as
# many bins with 16 taps, not those with blocks of 8.
_BINS_ADDED_AT_A_TIME = 4 * 7 * 7
_BINS_ADDED_IN_PAIRS_AT_A_TIME = 2 * _BINS_ADDED_AT_A_TIME
# Regions pooled in one step of a loop. Without the loop XLA on a CPU fuses the gathers
# with the reshape to a matrix that follows in a box head, and no longer reads whole
# rows: pooling 1000 boxes and the first linear layer took three times as long.
_POOLED_AT_A_TIME = 128
# The same with adaptive sampling, where a step takes as long as its largest region, and
# adds to its bins again and again: on a CPU they stay in the cache. It takes twice as
# long as 2 x 2 samples then, and with 128 regions nine times as long.
_POOLED_ADAPTIVELY_AT_A_TIME = 4
# A TPU has no such cache, and each step of a loop takes its time: cell by cell, 1000
# regions took 142 ms four at a time, 44.3 with 128 and 43.3 with 256. The more there
# are, the more of them wait for the largest. On a GPU it was not measured.
_POOLED_ADAPTIVELY_ELSEWHERE = 128
# Bins whose rows a TPU gathers at once: 512 regions of 7 x 7. With 256 channels in
# bfloat16 and 2 x 2 samples they are 205 MB.
_BINS_AT_A_TIME = 512 * 7 * 7
# A tile of a TPU has 8 rows. If the maps of an image end within a tile, XLA copies the
# maps of all images so that each begins with a tile: once for the gathers, and twice
# for every scatter, which makes the gradient seven times slower.
_ROWS_OF_A_TILE = 8


def pool_from_every_map(
    plan: Plan,
    maps: Maps,
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    taps: Int[Array, "n 2"],
) -> Float[Array, "n size size c"]:
    """Returns the bins, for a CPU.

    Every map is asked for every box, and the boxes of others read its first cells: they
    stay in the cache, where joining the maps would copy the whole pyramid.
    """

    def weighted(of_level, boxes, levels):
        pooled = jnp.zeros((), jnp.float32)
        for level, rows in enumerate(maps):
            here = levels == level
            index, weight = of_level(
                plan, jnp.where(here[:, None], boxes, 0), jnp.full_like(levels, level)
            )
            read = sum(map(partial(_weighted_rows, rows), index, weight))
            pooled = jnp.where(here[:, None, None, None], read, pooled)
        return pooled.reshape(-1, pooled.shape[-1])

    def read(boxes, levels, taps):
        if plan.sampling_ratio:
            return weighted(fixed_taps, boxes, levels)
        return _in_blocks(plan, weighted, maps, boxes, levels, taps)

    most = _POOLED_AT_A_TIME if plan.sampling_ratio else _POOLED_ADAPTIVELY_AT_A_TIME
    return _in_steps(plan, read, maps, boxes, levels, taps, most=most)


def pool_from_joined_maps(
    plan: Plan,
    maps: Maps,
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    taps: Int[Array, "n 2"],
) -> Float[Array, "n size size c"]:
    """Returns the bins, for a TPU or a GPU.

    A box reads its own map only, a quarter of the rows of `pool_from_every_map`, and
    each pair of neighbors is a row of twice the channels, half of the rows. Compiled
    for a v5e chip, 1000 boxes of an image take 7.7 ms, cell by cell 10.8. Squares of
    four cells take no less: their rows are copied together first. The pairs of an
    image of 800x1344 are 91 MB in bfloat16.
    """
    channels = maps[0].shape[-1]
    first = jnp.asarray(_first_rows(plan), jnp.int32)
    rows = jnp.concatenate(maps)
    rows = jnp.pad(rows, ((0, -len(rows) % _ROWS_OF_A_TILE + 1), (0, 0)))
    # The neighbor of a line's last cell is another line's, and has the weight 0.
    pairs = jnp.concatenate([rows[:-1], rows[1:]], axis=1)

    def weighted(of_level, boxes, levels):
        index, weight = of_level(plan, boxes, levels)
        index = index[::2] + rows_of(first, levels)[None, :, None, None]
        read = (pairs[i.reshape(-1)] for i in index)
        # Not reshape(len(x), -1, 1), which JAX 0.10 refuses on explicit axes.
        weight = weight.reshape(len(weight), -1)[..., None]
        return sum(
            cells[:, :channels].astype(jnp.float32) * on_left
            + cells[:, channels:].astype(jnp.float32) * on_right
            for cells, on_left, on_right in zip(
                read, weight[::2], weight[1::2], strict=True
            )
        )

    def read(boxes, levels, taps):
        if plan.sampling_ratio:
            return weighted(fixed_taps, boxes, levels)
        return _in_blocks(plan, weighted, maps, boxes, levels, taps, pairs=True)

    most = _POOLED_ADAPTIVELY_ELSEWHERE
    if plan.sampling_ratio:
        most = max(1, _BINS_AT_A_TIME // plan.size**2)
    # The bins of so many regions fill tiles, whatever their size is: those of one image
    # after those of another would be moved again.
    return _in_steps(
        plan, read, maps, boxes, levels, taps, most=most, multiple=_ROWS_OF_A_TILE
    )


def add_to_maps(
    plan: Plan,
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    taps: Int[Array, "n 2"],
    gradient: Float[Array, "n size size c"],
    *,
    pairs: bool = False,
) -> Maps:
    """Returns the transpose: what each bin read is added to, in float32.

    With adaptive sampling the blocks may be of `pairs`: their eight taps fill a tile of
    a TPU, and 512 boxes of each of two images take 44 ms of a v5e, otherwise 73.
    """
    ends = list(accumulate(height * width for height, width in plan.grids))
    first = jnp.asarray(_first_rows(plan), jnp.int32)
    adaptively = pairs and not plan.sampling_ratio
    bins = _BINS_ADDED_IN_PAIRS_AT_A_TIME if adaptively else _BINS_ADDED_AT_A_TIME
    num = max(1, bins // plan.size**2)
    regions = _filled_up((boxes, levels, taps, gradient), num)

    def add_taps(total, boxes, levels, gradient, of_level):
        index, weight = of_level(plan, boxes, levels)
        index += rows_of(first, levels)[None, :, None, None]
        # Taps last: 16 of them fill tiles of a TPU, 7 bins of a line do not.
        index, weight = jnp.moveaxis(index, 0, -1), jnp.moveaxis(weight, 0, -1)
        return total.at[index].add(gradient[..., None, :] * weight[..., None])

    def add(step, total):
        boxes, levels, taps, gradient = _part(regions, step, num)
        part = boxes, levels, gradient.astype(jnp.float32)
        if plan.sampling_ratio:
            return add_taps(total, *part, fixed_taps)

        def add_block(block, total):
            return add_taps(
                total, *part, partial(block_of_taps, block=block, pairs=pairs)
            )

        return jax.lax.fori_loop(0, num_blocks(taps, pairs=pairs), add_block, total)

    num_rows = ends[-1] + -ends[-1] % _ROWS_OF_A_TILE
    total = jnp.zeros((num_rows, gradient.shape[-1]), jnp.float32)
    total = varied_as(total, *regions)
    total = jax.lax.fori_loop(0, len(regions[0]) // num, add, total)
    return tuple(
        total[start:end].astype(gradient.dtype)
        for start, end in zip(_first_rows(plan), ends, strict=True)
    )


def _in_steps(
    plan: Plan,
    read: Callable,
    maps: Maps,
    *regions: jax.Array,
    most: int,
    multiple: int = 1,
) -> Float[Array, "n size size c"]:
    """Returns the bins of all regions, in the maps' dtype.

    `read` gives those of at most `most` regions, rounded up to a `multiple`, one after
    the other: [bins, c].
    """
    n, channels = len(regions[0]), maps[0].shape[-1]
    num_steps = max(1, -(-n // most))
    num = max(1, -(-n // num_steps))  # steps of nearly equal size
    num += -num % multiple
    num_steps = max(1, -(-n // num))
    padded = _filled_up(regions, num)
    bins = plan.size**2

    def read_part(step, pooled):
        part = read(*_part(padded, step, num)).astype(pooled.dtype)
        first = step * num * bins
        return jax.lax.dynamic_update_slice_in_dim(pooled, part, first, axis=0)

    # Written in place: `lax.map` puts the steps before the images of a batch, and takes
    # a copy of all bins to put them behind. One bin behind the other: a TPU would move
    # what each tap reads into lines of 7 bins, filled up to the 8 rows of a tile.
    shape = (num_steps * num * bins, channels)
    pooled = varied_as(jnp.zeros(shape, maps[0].dtype), *maps, *regions)
    pooled = jax.lax.fori_loop(0, num_steps, read_part, pooled)
    return pooled[: n * bins].reshape(n, plan.size, plan.size, channels)


def _in_blocks(
    plan: Plan,
    weighted: Callable,
    maps: Maps,
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    taps: Int[Array, "n 2"],
    *,
    pairs: bool = False,
) -> Float[Array, "bins c"]:
    """Returns the sum of `weighted` over the blocks of taps of the largest region."""

    def add(block, total):
        of_level = partial(block_of_taps, block=block, pairs=pairs)
        return total + weighted(of_level, boxes, levels)

    shape = (len(boxes) * plan.size**2, maps[0].shape[-1])
    total = varied_as(jnp.zeros(shape, jnp.float32), *maps, boxes, levels)
    return jax.lax.fori_loop(0, num_blocks(taps, pairs=pairs), add, total)


@jax.jit  # traced once for the 16 taps of a map
def _weighted_rows(
    rows: Float[Array, "_ c"],
    index: Int[Array, "n size size"],
    weight: Float[Array, "n size size"],
) -> Float[Array, "n size size c"]:
    """Returns the row that one tap of each bin reads, times its weight, in float32."""
    return rows[index].astype(jnp.float32) * weight[..., None]


def _first_rows(plan: Plan) -> list[int]:
    """Returns where each map begins when they are joined."""
    return [0, *accumulate(height * width for height, width in plan.grids[:-1])]


def _filled_up(regions: tuple[jax.Array, ...], num: int) -> tuple[jax.Array, ...]:
    """Returns the rows with zeros behind them, up to a multiple of `num`, not of 0."""
    padding = max(-len(regions[0]) % num, num - len(regions[0]))
    return tuple(
        jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)) for rows in regions
    )


def _part(
    regions: tuple[jax.Array, ...], step: jax.Array, num: int
) -> tuple[jax.Array, ...]:
    """Returns the `num` rows of a step."""
    return tuple(
        jax.lax.dynamic_slice_in_dim(rows, step * num, num) for rows in regions
    )
