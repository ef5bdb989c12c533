"""Sums, maxima, places and orders, equal numbers included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.onnx_twin import assert_same

TABLE = np.array([[3, 1, 3, 0, 2], [0, 0, -1, 5, 5]], np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(axis=1),
        lambda x: x.max(axis=0),
        lambda x: x.min(),
        lambda x: x.prod(axis=1),
        lambda x: (x > 0).any(axis=1),
        lambda x: (x >= 0).all(axis=0),
        lambda x: (x > 0).sum(axis=1, dtype=jnp.int32),
        lambda x: jnp.argmax(x, axis=1),
        lambda x: jnp.argmin(x, axis=0),
        lambda x: jax.lax.argmax(x > 1, 1, jnp.int32),
        lambda x: jnp.cumsum(x, axis=1),
        lambda x: jnp.sort(x, axis=1),
        lambda x: jax.lax.top_k(x, 4),  # of equal ones the first comes first
        lambda x: jax.nn.softmax(x, axis=1),
    ],
)
def test_reduced(function):
    assert_same(function, TABLE)
