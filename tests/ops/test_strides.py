"""Every second pixel of any number of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.strides import every_second


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("shape", [(4, 6), (5, 7), (1, 1)])
def test_it_is_the_slice_of_numpy(row, column, shape):
    x = np.arange(2 * np.prod(shape) * 3).reshape(2, *shape, 3)
    found = every_second(jnp.asarray(x), row, column)
    np.testing.assert_array_equal(found, x[:, row::2, column::2])


def test_an_open_number_of_images_needs_no_table():
    (number,) = jax.export.symbolic_shape("b")
    given = jax.ShapeDtypeStruct((number, 4, 4, 3), jnp.float32)
    assert "gather" not in str(jax.make_jaxpr(every_second)(given))
