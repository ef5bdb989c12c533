"""Rows of small tables in both formulations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.small_tables import (
    gathered,
    multiplied,
    objects_at,
    rows_of_few,
)


@pytest.mark.parametrize("take", [rows_of_few, gathered, multiplied])
def test_rows_keep_their_bits(take):
    rng = np.random.default_rng(0)
    table = jnp.array(rng.normal(size=(7, 5)) * 1e3, jnp.float32)
    index = rng.integers(0, 7, 50)
    dtype = jnp.int32 if take is rows_of_few else jnp.float32
    rows = take(table, jnp.array(index, dtype))
    np.testing.assert_array_equal(rows, np.asarray(table)[index])


def test_each_platform_gets_its_own_from_one_trace():
    traced = jax.jit(rows_of_few).trace(jnp.zeros((3, 2)), jnp.zeros(9, jnp.int32))
    for platform, gathers in (("cpu", True), ("tpu", False), ("cuda", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.gather" in text) == gathers, platform
        assert ("stablehlo.dot_general" in text) != gathers, platform


def test_the_objects_of_anchors_by_hand():
    boxes = jnp.array([[0.0, 1, 2, 3], [4, 5, 6, 7]])
    index = jnp.array([1, 0, 1], jnp.int32)
    found, labels = objects_at(boxes, jnp.array([8, 9], jnp.int32), index)
    np.testing.assert_array_equal(found, boxes[index])
    np.testing.assert_array_equal(labels, [9, 8, 9])
