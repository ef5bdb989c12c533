"""Every second pixel of any number of images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.layers import convolve
from fpn_jax.ops.pooling import pool_slices
from fpn_jax.ops.strides import strided


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (1, 1)])
def test_it_is_the_slice_of_numpy(row, column, shape):
    x = np.arange(2 * np.prod(shape) * 3).reshape(2, *shape, 3)
    found = strided(jnp.asarray(x), row=row, column=column)
    np.testing.assert_array_equal(found, x[:, row::2, column::2])


def test_an_open_number_of_images_needs_no_table():
    (number,) = jax.export.symbolic_shape("b")
    given = jax.ShapeDtypeStruct((number, 4, 4, 3), jnp.float32)
    assert "gather" not in str(jax.make_jaxpr(strided)(given))


@pytest.mark.parametrize(
    "halved",
    [
        partial(pool_slices, window=3, padding=1),
        lambda x: convolve(x, jnp.ones((1, 1, 3, 5)), stride=2),
    ],
    ids=["pooling", "convolution"],
)
def test_neither_pooling_nor_a_convolution_of_one_pixel_needs_one(halved):
    (number,) = jax.export.symbolic_shape("b")
    given = jax.ShapeDtypeStruct((number, 6, 8, 3), jnp.float32)
    jaxpr = jax.make_jaxpr(halved)(given)
    assert "gather" not in str(jaxpr)
    assert jaxpr.out_avals[0].shape[1:3] == (3, 4)
