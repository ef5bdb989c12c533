"""Numbers one by one: ONNX computes what JAX does, also at the edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.onnx_twin import assert_same, by_onnx

FLOATS = np.array([[-2.5, -1.0, -0.0, 0.5, 1.5, 3.0]], np.float32)
INTS = np.array([-7, -3, 0, 2, 5, 7], np.int32)


@pytest.mark.parametrize(
    "function",
    [
        jnp.abs,
        jnp.ceil,
        jnp.exp,
        jnp.floor,
        jnp.negative,
        jnp.round,
        jnp.sign,
        jnp.square,
        jnp.tanh,
        jax.nn.relu,
        jax.nn.sigmoid,
        jax.nn.silu,
        jax.scipy.special.erf,
        lambda x: x**3,
        lambda x: jax.lax.rsqrt(jnp.abs(x) + 1),
        lambda x: jnp.log(jnp.abs(x) + 1),
        lambda x: jnp.clip(x, -1, 1),
        lambda x: jnp.maximum(x, 0) - 1.5,
        lambda x: 1.5 - x,
        lambda x: jnp.isfinite(jnp.where(x > 2, jnp.inf, x)),
        lambda x: (x > 0) != (x < 1),
        lambda x: jnp.where(x > 0, x < 1, x == 0),
        lambda x: (x * 2).astype(jnp.int32),
    ],
)
def test_of_floats(function):
    assert_same(function, FLOATS)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x // 3,
        lambda x: x % 3,
        lambda x: x // -2,
        lambda x: jax.lax.rem(x, jnp.int32(3)),
        lambda x: x > 2,
        lambda x: jnp.sign(x),
        lambda x: x.astype(jnp.float32) / 2,
        lambda x: x.astype(bool),
        lambda x: jnp.minimum(x, 2) + jnp.maximum(x, -2),
    ],
)
def test_of_integers(function):
    assert_same(function, INTS)


def test_a_division_of_integers_by_zero_does_not_stop_the_program():
    assert_same(lambda x, y: (jax.lax.div(x, y), jax.lax.rem(x, y)), INTS, INTS * 0)


def test_axes_of_one_are_broadcast_in_either_layout():
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 4, 6, 3)).astype(np.float32)
    vector = random.normal(size=3).astype(np.float32)
    rows = random.normal(size=(2, 4)).astype(np.float32)

    def function(images, vector, rows):
        return images * vector[None, None, None] + rows[:, :, None, None] - 1

    assert_same(function, images, vector, rows)


def clipped(x):
    return x.at[np.array([9])].set(7, mode="clip")


def dilated(x):
    ones = (1,) * x.ndim
    return jax.lax.reduce_window(
        x, -np.inf, jax.lax.max, ones, ones, "VALID", window_dilation=(1, 2)
    )


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (jax.scipy.special.digamma, "JAX's 'digamma'"),
        (jax.lax.round, "rounding halves away from zero"),
        (lambda x: jax.lax.select_n((x > 0) + 1, x, x, x), "a choice among 3 cases"),
        (lambda x: clipped(x.T), "a scatter to the nearest place"),
        (dilated, "a maximum of windows"),
    ],
)
def test_what_cannot_be_said_is_named(function, named):
    with pytest.raises(
        ValueError, match=f"^format: onnx has no translation of {named}"
    ):
        by_onnx(function, FLOATS)
