"""Pooling in each of its formulations, against torch's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.pooling import max_filter, max_pool, pool_pairs, pool_slices
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()
F = torch.nn.functional


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("pool", [max_pool, pool_slices, pool_pairs])
@pytest.mark.parametrize("window, padding", [(3, 1), (2, 0)])
@pytest.mark.parametrize("height, width", [(8, 11), (9, 12)])
def test_max_pool_and_its_gradient_are_torchs_also_at_ties(
    pool, window, padding, height, width
):
    # Few distinct values, all negative: ties everywhere, and padding by 0 would show.
    x = -1.0 - np.random.default_rng(0).integers(0, 3, (2, height, width, 4))
    x = x.astype(np.float32)
    reference = to_torch(x).requires_grad_()
    theirs = F.max_pool2d(reference, window, stride=2, padding=padding)
    weights = features(*to_nhwc(theirs).shape)
    (theirs * to_torch(weights)).sum().backward()
    ours, vjp = jax.vjp(partial(pool, window=window, padding=padding), jnp.array(x))
    np.testing.assert_array_equal(ours, to_nhwc(theirs))
    np.testing.assert_allclose(
        vjp(jnp.asarray(weights))[0], to_nhwc(reference.grad), atol=1e-6
    )


@pytest.mark.parametrize("window", [3, 5])
def test_max_filter_and_its_gradient_are_torchs(window):
    x = features(2, 4, 7, 3) - 5  # negative: padding by 0 would show
    reference = to_torch(x).requires_grad_()
    theirs = F.max_pool2d(reference, window, stride=1, padding=window // 2)
    weights = features(*x.shape, seed=1)
    (theirs * to_torch(weights)).sum().backward()
    ours, vjp = jax.vjp(partial(max_filter, window=window), x)
    np.testing.assert_array_equal(ours, to_nhwc(theirs))
    np.testing.assert_allclose(
        vjp(jnp.asarray(weights))[0], to_nhwc(reference.grad), atol=1e-5
    )


def test_each_platform_gets_its_own_from_one_trace():
    pool = partial(max_pool, window=3, padding=1)
    traced = jax.jit(pool).trace(jnp.zeros((1, 8, 8, 4)))
    for platform, by_pairs in (("cpu", False), ("tpu", True), ("cuda", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        # Five pairs of pixels in a row, with the channels of both.
        assert ("tensor<1x10x5x8xf32>" in text) == by_pairs, platform
