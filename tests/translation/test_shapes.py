"""What is moved is where JAX has it, also with the channels first inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.onnx_twin import assert_same

IMAGES = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x.reshape(x.shape[0], -1, 3).reshape(x.shape),
        lambda x: x[:, ::2, 1:5:3],
        lambda x: x[..., ::-1],
        lambda x: x[:, 1][:, :, None],
        lambda x: x.transpose(0, 3, 2, 1),
        lambda x: jnp.concatenate([x, x[:, :2]], axis=1),
        lambda x: jnp.concatenate([x, jnp.ones_like(x)], axis=-1),
        lambda x: jnp.stack([x, x + 1], axis=2),
        lambda x: jnp.tile(x, (1, 2, 1, 1)),
        lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=7),
        lambda x: jnp.zeros((x.shape[0], 5)) + jnp.arange(5.0)[None],
        lambda x: jnp.broadcast_to(x[:, :1, :1], x.shape),
        lambda x: jax.lax.broadcasted_iota(jnp.int32, x.shape, 1),
        lambda x: jax.lax.broadcasted_iota(jnp.int32, x.shape, 0),
        lambda x: jnp.squeeze(x[:, :1], 1),
        lambda x: jnp.concatenate([x, x]).sum(axis=2),  # twice the open size
    ],
)
def test_moved(function, symbolic):
    assert_same(function, IMAGES, symbolic=symbolic)


def test_edges_are_repeated():
    sides = ((0, 0), (1, 2), (0, 1), (0, 0))
    assert_same(lambda x: jnp.pad(x, sides, mode="edge"), IMAGES)
