"""RoIAlign (Mask R-CNN, section 3) on one feature map and on a pyramid.

A region is cut into size x size bins, and the features are averaged over points of each
bin, interpolated bilinearly: sampling_ratio x sampling_ratio points, or, where that is
0, as many along an axis as the bin has cells, rounded up (adaptive; Detectron2's). That
is separable: along one axis a bin reads some cells with known weights, its taps. So a
bin is a short sum of weighted cells of the map,

    sum over j, k of wy[j] * wx[k] * features[y[j], x[k]].

No gradient goes to the boxes.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from fpn_jax.ops.boxes import area
from fpn_jax.ops.onnx_operators import onnx_roi_align
from fpn_jax.ops.platforms import at_lowering
from fpn_jax.ops.roi_pooling import (
    add_to_maps,
    pool_from_every_map,
    pool_from_joined_maps,
)
from fpn_jax.ops.roi_taps import Plan, num_taps
from fpn_jax.types import Pyramid


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

    With `sampling_ratio` 0 (torchvision also takes -1) a bin of h x w cells has ceil(h)
    x ceil(w) samples, however many those are: shapes are static, and a loop ends behind
    the last cell of the largest box. A box without a side has no sample and gives 0.

    Raises:
      ValueError: for a size below 1, or a sampling_ratio below 0.
    """
    height, width, _ = features.shape
    plan = Plan(((height, width),), (scale,), size, sampling_ratio, aligned)
    _check(plan)
    levels = jnp.zeros(len(boxes), jnp.int32)
    return _pool_images(plan, (features[None],), boxes[None], levels[None])[0]


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
    plan = Plan(grids, scales, size, sampling_ratio, aligned)
    _check(plan)
    order = assign_levels(boxes, levels, canonical_size=canonical_size) - levels[0]
    formulations = {
        "default": partial(_pool_images, plan),
        "onnx": partial(_pool_by_operator, plan),
    }
    return at_lowering(formulations, maps, boxes, order)


def _pool_by_operator(plan: Plan, maps, boxes, order):
    pooled = onnx_roi_align(plan, maps, boxes, order)
    return pooled.reshape(*boxes.shape[:2], *pooled.shape[1:])


def _pool_images(plan: Plan, maps, boxes, levels):
    rows = tuple(x.reshape(x.shape[0], -1, x.shape[-1]) for x in maps)
    taps = jax.vmap(partial(num_taps, plan))(boxes, levels)
    # Loops end for all images at once: explicit axes may divide the images.
    pool = jax.vmap(partial(_pool, plan), in_axes=(0, 0, 0, None))
    if plan.sampling_ratio:
        return pool(rows, boxes, levels, taps.max(axis=0, initial=0))
    # Boxes that are pooled together take as long as the largest of them.
    order = jnp.argsort(taps[..., 0], descending=True)
    boxes, levels, taps = (_in_order(x, order) for x in (boxes, levels, taps))
    pooled = pool(rows, boxes, levels, taps.max(axis=0, initial=0))
    return _in_order(pooled, jnp.argsort(order))


@jax.vmap
def _in_order(rows: Shaped[Array, "n ..."], order: Int[Array, " n"]):
    return rows.at[order].get(unique_indices=True)


def _check(plan: Plan) -> None:
    for name, least in (("size", 1), ("sampling_ratio", 0)):
        if (given := getattr(plan, name)) < least:
            raise ValueError(f"{name} is {given}, not {least} or more")


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pool(
    plan: Plan,
    maps: tuple[Float[Array, "_ c"], ...],
    boxes: Float[Array, "n 4"],
    levels: Int[Array, " n"],
    taps: Int[Array, "n 2"],
) -> Float[Array, "n size size c"]:
    """Returns the bins of each box from the map of that number, given row by row.

    `taps` are as many as `num_taps` says, or more.
    """
    return jax.lax.platform_dependent(
        *(maps, boxes, levels, taps),
        cpu=partial(pool_from_every_map, plan),
        default=partial(pool_from_joined_maps, plan),
    )


def _pool_forward(plan, maps, boxes, levels, taps):
    return _pool(plan, maps, boxes, levels, taps), (boxes, levels, taps)


def _pool_backward(plan, regions, gradient):
    boxes, levels, taps = regions
    given = boxes, levels, taps, gradient
    one_by_one = partial(add_to_maps, plan)
    if plan.sampling_ratio:  # the taps are pairs anyway
        return one_by_one(*given), None, None, None
    in_pairs = partial(add_to_maps, plan, pairs=True)
    maps = jax.lax.platform_dependent(*given, cpu=one_by_one, default=in_pairs)
    return maps, None, None, None


_pool.defvjp(_pool_forward, _pool_backward)
