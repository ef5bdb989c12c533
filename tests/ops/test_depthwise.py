"""The depthwise convolution against XLA's own and torch's; its gradient too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from fpn_jax.ops import depthwise
from fpn_jax.ops.depthwise import depthwise_convolution
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_each_channel_meets_its_own_filter_by_hand():
    first = np.arange(1.0, 10.0).reshape(1, 3, 3)
    x = jnp.stack([first, 10 * first], axis=-1)
    # Both see the upper left neighbor, the second one twice as large.
    kernel = jnp.zeros((3, 3, 1, 2)).at[0, 0, 0].set(jnp.array([1.0, 2.0]))
    y = depthwise_convolution(x, kernel)
    expected = np.array([[0, 0, 0], [0, 1, 2], [0, 4, 5]])
    np.testing.assert_array_equal(y[0, :, :, 0], expected)
    np.testing.assert_array_equal(y[0, :, :, 1], 20 * expected)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("grid", [(8, 6), (7, 9), (1, 2)])
def test_values_and_gradients_equal_torchs(size, stride, grid):
    x, kernel = draw(2, *grid, 5), draw(size, size, 1, 5, seed=1)
    their_x = to_torch(x).requires_grad_()
    their_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    their_kernel.requires_grad_()
    theirs = torch.nn.functional.conv2d(
        their_x, their_kernel, stride=stride, padding=size // 2, groups=5
    )
    cotangent = draw(*to_nhwc(theirs).shape, seed=2)
    theirs.backward(to_torch(cotangent))

    ours, pull = jax.vjp(
        partial(depthwise_convolution, stride=stride), jnp.array(x), jnp.array(kernel)
    )
    x_gradient, kernel_gradient = pull(jnp.array(cotangent))
    # Sums of at most 25 (values) and 144 (gradients) products, in another order.
    np.testing.assert_allclose(ours, to_nhwc(theirs), atol=1e-5)
    np.testing.assert_allclose(x_gradient, to_nhwc(their_x.grad), atol=1e-5)
    expected = their_kernel.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel_gradient, expected, atol=5e-5)


def test_devices_of_a_shard_map_share_the_gradient_of_one_kernel():
    mesh = jax.make_mesh(
        (2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2]
    )
    split, copied = PartitionSpec("data"), PartitionSpec()
    x, kernel = jnp.array(draw(2, 4, 3, 2)), jnp.array(draw(3, 3, 1, 2, seed=1))

    def gradient(kernel, x):
        return jax.grad(lambda k: depthwise_convolution(x, k).sum())(kernel)

    mapped = jax.shard_map(
        gradient, mesh=mesh, in_specs=(copied, split), out_specs=copied
    )
    np.testing.assert_allclose(
        jax.jit(mapped)(kernel, x), gradient(kernel, x), rtol=1e-5
    )


@pytest.mark.parametrize(
    "formulation", [depthwise.depthwise_by_xla, depthwise.shifted_products]
)
def test_formulations_give_the_same(formulation):
    x, kernel = jnp.array(draw(2, 9, 6, 4)), jnp.array(draw(5, 5, 1, 4, seed=1))
    ours, pull = jax.vjp(partial(formulation, stride=2), x, kernel)
    convolve = partial(depthwise_convolution, stride=2)
    chosen, pull_chosen = jax.vjp(convolve, x, kernel)
    np.testing.assert_allclose(ours, chosen, atol=1e-5)
    for a, b in zip(pull(ours), pull_chosen(ours), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_each_platform_gets_its_own_from_one_trace():
    x, kernel = jnp.array(draw(2, 9, 6, 4)), jnp.array(draw(5, 5, 1, 4, seed=1))
    traced = jax.jit(depthwise_convolution).trace(x, kernel)
    for platform, has_convolution in (("cpu", False), ("tpu", True), ("cuda", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.convolution" in text) == has_convolution, platform
