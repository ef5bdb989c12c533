"""Convolutions, pooling, upsampling and products beside XLA's."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.deconv import convolve_transposed
from fpn_jax.layers import convolve
from fpn_jax.ops.depthwise import depthwise_convolution
from fpn_jax.ops.grouped import grouped_convolution
from fpn_jax.ops.pooling import max_filter, max_pool
from fpn_jax.ops.upsampling import upsample2x
from tests.support.onnx_twin import assert_same

random = np.random.default_rng(0)
IMAGES = random.normal(size=(2, 9, 12, 4)).astype(np.float32)


def kernel(*shape):
    return random.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution(size, stride):
    assert_same(partial(convolve, stride=stride), IMAGES, kernel(size, size, 4, 6))


def test_a_convolution_with_what_is_folded_into_it():
    weights, factor = jnp.asarray(kernel(3, 3, 4, 6)), jnp.asarray(kernel(6))

    def function(x):
        x = convolve(x, weights) * factor[None, None, None] - 0.5
        return convolve(jnp.maximum(x, 0), jnp.asarray(kernel(3, 3, 6, 2)) * 0 + 1)

    assert_same(function, IMAGES, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_by_themselves_and_in_groups(stride):
    assert_same(
        partial(depthwise_convolution, stride=stride), IMAGES, kernel(3, 3, 1, 4)
    )
    groups = partial(grouped_convolution, groups=2, stride=stride)
    assert_same(groups, IMAGES, kernel(3, 3, 2, 6))


@pytest.mark.parametrize("size", [2, 4])
def test_a_transposed_convolution(size):
    assert_same(convolve_transposed, IMAGES, kernel(size, size, 5, 4))


def test_windows_and_doubling():
    assert_same(partial(max_pool, window=3, padding=1), IMAGES)
    assert_same(partial(max_filter, window=5), IMAGES)
    assert_same(upsample2x, IMAGES)


@pytest.mark.parametrize(
    "equation", ["bhwi,io->bhwo", "bhwi,bhwi->bh", "bhwi,bhwo->bio"]
)
def test_products(equation):
    other = kernel(4, 3) if "io->" in equation else kernel(2, 9, 12, 4)
    assert_same(lambda a, b: jnp.einsum(equation, a, b), IMAGES, other, atol=1e-4)
