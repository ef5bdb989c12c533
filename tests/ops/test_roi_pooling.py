"""The formulations of pooling give the same, and each platform gets its own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.roi_align import pyramid_roi_align
from fpn_jax.ops.roi_pooling import (
    add_to_maps,
    pool_from_every_map,
    pool_from_joined_maps,
)
from fpn_jax.ops.roi_taps import Plan, num_taps

GRIDS = ((16, 20), (8, 10), (4, 5))


def pool_both(plan, boxes, *, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    maps = tuple(jnp.array(rng.normal(size=(h * w, 5)), dtype) for h, w in GRIDS)
    levels = jnp.array(rng.integers(0, len(GRIDS), len(boxes)), jnp.int32)
    regions = jnp.array(boxes, jnp.float32), levels
    given = maps, *regions, num_taps(plan, *regions)
    return pool_from_every_map(plan, *given), pool_from_joined_maps(plan, *given)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("num", [0, 1, 40])
def test_both_give_the_same_bins(num, sampling_ratio, aligned):
    plan = Plan(GRIDS, (1 / 4, 1 / 8, 1 / 16), 3, sampling_ratio, aligned)
    # Inside and outside of 64 x 80 pixels, some with a negative side.
    boxes = np.random.default_rng(1).uniform(-40, 120, (num, 4))
    every, joined = pool_both(plan, boxes)
    # Sums of at most some hundred products of unit normals, in another order.
    np.testing.assert_allclose(every, joined, atol=1e-5)


def test_the_last_cell_of_the_last_map_has_no_neighbor_to_read():
    plan = Plan(GRIDS[2:], (1.0,), 1, 1, False)
    maps = (jnp.arange(20, dtype=jnp.float32)[:, None],)
    regions = jnp.array([[4.0, 3, 5, 4]]), jnp.zeros(1, jnp.int32)
    # The sample is at (4.5, 3.5), moved to the last cell, (4, 3).
    pooled = pool_from_joined_maps(plan, maps, *regions, num_taps(plan, *regions))
    assert pooled.item() == 19


def test_strange_boxes_read_nothing_that_is_not_finite():
    strange = [0, -1, 1e9, -1e30, np.inf, -np.inf, np.nan]
    boxes = np.stack(np.meshgrid(*[strange] * 4), -1).reshape(-1, 4)
    plan = Plan(GRIDS, (1 / 4, 1 / 8, 1 / 16), 2, 2, False)
    for pooled in pool_both(plan, boxes):
        assert np.isfinite(pooled).all()


def test_more_regions_than_are_gathered_at_once_are_pooled_in_steps():
    plan = Plan(GRIDS, (1 / 4, 1 / 8, 1 / 16), 28, 1, False)  # 32 regions at a time
    every, joined = pool_both(plan, np.random.default_rng(1).uniform(0, 80, (70, 4)))
    np.testing.assert_allclose(every, joined, atol=1e-5)


def test_sums_of_bfloat16_features_are_float32():
    plan = Plan(GRIDS, (1 / 4, 1 / 8, 1 / 16), 3, 2, False)
    boxes = np.random.default_rng(1).uniform(0, 80, (20, 4))
    every, joined = pool_both(plan, boxes, dtype=jnp.bfloat16)
    assert joined.dtype == jnp.bfloat16
    # Two float32 sums may fall to either side of the middle between two bfloat16.
    np.testing.assert_allclose(
        every.astype(jnp.float32), joined.astype(jnp.float32), rtol=2**-7, atol=1e-6
    )


def test_each_platform_gets_its_own_from_one_trace():
    pyramid = {k: jnp.zeros((1, 64 >> k, 64 >> k, 4)) for k in (2, 3, 4)}
    pool = jax.jit(
        lambda x, boxes: pyramid_roi_align(x, boxes, canvas=(64, 64), size=7)
    )
    traced = pool.trace(pyramid, jnp.zeros((1, 5, 4)))
    # Of every map, or of those joined, each cell with its neighbor, for 8 regions.
    every, joined = {"256x4", "64x4", "16x4"}, {"336x8"}
    for platform, rows in (("cpu", every), ("tpu", joined), ("cuda", joined)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        read = re.findall(
            r"tensor<1x(\d+x\d)xf32>, tensor<1x(?:5x7x7|392)x1xi32>", text
        )
        assert set(read) == rows, platform


def test_gradients_of_a_tpu_are_added_in_pairs():
    pyramid = {k: jnp.zeros((1, 64 >> k, 64 >> k, 4)) for k in (2, 3, 4)}

    def total(pyramid, boxes):
        options = {"canvas": (64, 64), "size": 7, "sampling_ratio": 0}
        return pyramid_roi_align(pyramid, boxes, **options).sum()

    traced = jax.jit(jax.grad(total)).trace(pyramid, jnp.zeros((1, 9, 4)))
    # 8 regions with 4 pairs, or 4 with 9 taps.
    for platform, added in (("cpu", "4x7x7x9x4"), ("tpu", "8x7x7x8x4")):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert f"tensor<1x{added}xf32>" in text, platform


def test_taps_and_pairs_of_them_give_the_same_gradient():
    plan = Plan(GRIDS, (1 / 4, 1 / 8, 1 / 16), 3, 0, True)
    rng = np.random.default_rng(1)
    start, side = rng.uniform(-20, 60, (21, 2)), rng.uniform(1, 60, (21, 2))
    boxes = jnp.array(np.concatenate([start, start + side], axis=1), jnp.float32)
    levels = jnp.array(rng.integers(0, len(GRIDS), 21), jnp.int32)
    gradient = jnp.array(rng.normal(size=(21, 3, 3, 5)), jnp.float32)
    given = boxes, levels, num_taps(plan, boxes, levels), gradient
    single, pairs = (add_to_maps(plan, *given, pairs=x) for x in (False, True))
    for one, other in zip(single, pairs, strict=True):
        assert jnp.abs(one).max() > 0.1
        np.testing.assert_allclose(one, other, atol=1e-5)  # in another order
