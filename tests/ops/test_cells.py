"""Cells of a map taken as a TPU has it, against those of a plain gather."""

from functools import partial

import jax
import numpy as np
import pytest

from fpn_jax.ops.cells import cell_maxima, cells_at
from tests.support.tpu import traced_for_tpu


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(("images", "width"), [(4, 32), (8, 32), (2, 15), (16, 8)])
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
