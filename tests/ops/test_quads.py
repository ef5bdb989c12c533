"""The stem by quads against its convolution and pooling: values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.layers import convolve
from fpn_jax.ops.pooling import max_pool
from fpn_jax.ops.quads import convolve_quads, is_for_quads, pool_quads
from fpn_jax.ops.strips import joined
from tests.support.tpu import traced_for_tpu


@pytest.mark.parametrize("strips", [1, 2])
def test_quads_give_the_pooled_convolution_and_its_gradients(strips):
    generator = np.random.default_rng(0)
    images = jnp.asarray(generator.normal(size=(2, 12, 32, 3)), jnp.float32)
    kernel = jnp.asarray(generator.normal(size=(7, 7, 3, 5)), jnp.float32)
    weights = jnp.asarray(generator.normal(size=(2, 3, 8, 5)), jnp.float32)

    def by_pixels(images, kernel):
        x = jax.nn.relu(convolve(images, kernel, stride=2))
        return max_pool(x, window=3, padding=1)

    def by_quads(images, kernel):
        x = convolve_quads(images, kernel, stride=2, strips=strips)
        return joined(pool_quads(jax.nn.relu(x), strips=strips), strips)

    theirs, their_pull = jax.vjp(by_pixels, images, kernel)
    ours, our_pull = jax.vjp(by_quads, images, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for mine, other in zip(our_pull(weights), their_pull(weights), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


def test_the_first_of_equal_maxima_gets_the_gradient():
    images, kernel = jnp.ones((1, 16, 16, 1)), jnp.ones((7, 7, 1, 1))
    weights = jnp.arange(16.0).reshape(1, 4, 4, 1)

    def pooled(images, quads):
        if quads:
            x = convolve_quads(images, kernel, stride=2, strips=1)
            return pool_quads(jax.nn.relu(x), strips=1)
        return max_pool(convolve(images, kernel, stride=2), window=3, padding=1)

    ours, theirs = (
        jax.vjp(lambda x, quads=quads: pooled(x, quads), images)[1](weights)[0]
        for quads in (True, False)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "shape, strips, fits",
    [((8, 64, 96, 3), 1, True), ((2, 64, 96, 3), 4, True)]
    + [((8, 66, 96, 3), 1, False), ((2, 64, 88, 3), 4, False)],
)
def test_squares_must_divide_the_strips(shape, strips, fits):
    images = jnp.zeros(shape)
    assert traced_for_tpu(lambda x: is_for_quads(x, strips=strips))(images) == fits
    assert not is_for_quads(images, strips=strips)
