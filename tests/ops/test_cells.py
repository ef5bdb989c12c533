"""Cells of a map taken as a TPU has it, against those of a plain gather."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.anchors import anchor_rows_at
from fpn_jax.ops.cells import cell_maxima, cells_at
from tests.support.switches import switched
from tests.support.tpu import traced_for_tpu


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    ("images", "width"), [(4, 32), (8, 32), (2, 15), (16, 8), (3, 32), (5, 32)]
)
def test_cells_and_maxima_for_a_tpu_are_those_of_images(images, width, devices):
    level = jax.random.normal(jax.random.key(0), (images, 6, width, 5))
    index = jax.random.randint(jax.random.key(1), (images, 9), 0, 6 * width)
    for_tpu = partial(traced_for_tpu, devices=devices)
    cells = level.reshape(images, -1, 5)
    rows = np.arange(images)[:, None]
    np.testing.assert_array_equal(cells_at(level, index), cells[rows, index])
    ours = jax.jit(for_tpu(cells_at))(level, index)
    np.testing.assert_array_equal(ours, cells[rows, index])
    np.testing.assert_array_equal(cell_maxima(level), cells.max(axis=-1))
    np.testing.assert_array_equal(
        jax.jit(for_tpu(cell_maxima))(level), cells.max(axis=-1)
    )


@pytest.mark.parametrize(
    ("devices", "table"), [(1, "tensor<1x768x5xf32>"), (2, "tensor<2x384x5xf32>")]
)
def test_each_tpu_has_one_table_of_all_its_strips(devices, table):
    # 8 strips of 6 x 16 places, or on each of two TPUs 8 strips of 6 x 8.
    level, index = jnp.zeros((4, 6, 32, 5)), jnp.zeros((4, 9), jnp.int32)
    program = jax.jit(traced_for_tpu(cells_at, devices=devices))
    assert table in program.lower(level, index).as_text()


def test_cells_for_a_tpu_have_the_types_of_double_precision():
    level = jax.ShapeDtypeStruct((4, 6, 32, 5), jnp.bfloat16)
    index = jax.ShapeDtypeStruct((4, 9), jnp.int32)
    with switched(jax_enable_x64=True, jax_numpy_dtype_promotion="strict"):
        cells = jax.eval_shape(traced_for_tpu(cells_at), level, index)
        anchors = jax.eval_shape(
            traced_for_tpu(partial(anchor_rows_at, channels=1)), level, index
        )
    assert (cells.dtype, anchors.dtype) == (jnp.bfloat16, jnp.bfloat16)
