"""Reading and writing at computed places, those outside included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.onnx_twin import assert_same

TABLE = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
PLACES = np.array([[3, 0, 1], [2, 2, -1]], np.int32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[0][i],
        lambda x, i: x[:, i[0]],
        lambda x, i: x[:, :, i[1]],
        lambda x, i: x[i[:, 0] % 2, i[:, 1]],
        lambda x, i: jnp.take_along_axis(x, i[..., None], axis=1),
        lambda x, i: jax.vmap(lambda rows, index: rows[index])(x, i),
        lambda x, i: x[0].at[i[0] + 9].get(mode="fill", fill_value=-5),
        lambda x, i: x[0].at[i[0] + 2].get(mode="clip"),
        lambda x, i: jax.lax.dynamic_slice(x[0], (i[0, 0], i[0, 1]), (2, 3)),
    ],
)
def test_read(function):
    assert_same(function, TABLE, PLACES)


@pytest.mark.parametrize("way", ["set", "add", "max", "min"])
def test_written(way):
    def function(x, i):
        place = jnp.where(i[0] < 3, i[0], 99)  # the last is outside
        at = x[0].at[place]
        return getattr(at, way)(-x[1][:3] * 2 + 20, mode="drop")

    assert_same(function, TABLE, PLACES)
