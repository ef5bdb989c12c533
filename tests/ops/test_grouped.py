"""The convolution in groups against XLA's own and torch's; its gradient too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops import grouped
from fpn_jax.ops.grouped import grouped_convolution
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_group_sees_its_own_channels_by_hand():
    # Four channels 1, 10, 100, 1000 in two groups; each output sums its two inputs.
    x = jnp.full((1, 1, 1, 4), jnp.array([1.0, 10.0, 100.0, 1000.0]))
    kernel = jnp.zeros((3, 3, 2, 4)).at[1, 1].set(jnp.ones((2, 4)))
    y = grouped_convolution(x, kernel, 2)
    np.testing.assert_array_equal(y[0, 0, 0], [11, 11, 1100, 1100])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("grid", [(8, 6), (7, 9), (1, 2)])
def test_values_and_gradients_equal_torchs(stride, grid):
    groups = 3
    x, kernel = draw(2, *grid, 6), draw(3, 3, 2, 12, seed=1)
    their_x = to_torch(x).requires_grad_()
    their_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    their_kernel.requires_grad_()
    theirs = torch.nn.functional.conv2d(
        their_x, their_kernel, stride=stride, padding=1, groups=groups
    )
    cotangent = draw(*to_nhwc(theirs).shape, seed=2)
    theirs.backward(to_torch(cotangent))

    convolve = partial(grouped_convolution, groups=groups, stride=stride)
    ours, pull = jax.vjp(convolve, jnp.array(x), jnp.array(kernel))
    x_gradient, kernel_gradient = pull(jnp.array(cotangent))
    # Sums of at most 18 (values), 36 and 126 (gradients) products, in another order.
    np.testing.assert_allclose(ours, to_nhwc(theirs), atol=1e-5)
    np.testing.assert_allclose(x_gradient, to_nhwc(their_x.grad), atol=1e-5)
    expected = their_kernel.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel_gradient, expected, atol=5e-5)


@pytest.mark.parametrize(
    "formulation", [grouped.grouped_by_xla, grouped.sum_of_products]
)
def test_formulations_give_the_same(formulation):
    x, kernel = jnp.array(draw(2, 9, 6, 8)), jnp.array(draw(3, 3, 2, 8, seed=1))
    ours, pull = jax.vjp(partial(formulation, groups=4, stride=2), x, kernel)
    convolve = partial(grouped_convolution, groups=4, stride=2)
    chosen, pull_chosen = jax.vjp(convolve, x, kernel)
    np.testing.assert_allclose(ours, chosen, atol=1e-5)
    for a, b in zip(pull(ours), pull_chosen(ours), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_each_platform_gets_its_own_from_one_trace():
    x, kernel = jnp.array(draw(2, 9, 6, 8)), jnp.array(draw(3, 3, 2, 8, seed=1))
    traced = jax.jit(partial(grouped_convolution, groups=4)).trace(x, kernel)
    for platform, has_convolution in (("cpu", False), ("tpu", True), ("cuda", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.convolution" in text) == has_convolution, platform
