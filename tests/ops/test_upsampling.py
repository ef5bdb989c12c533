"""Upsampling against torch's and JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.upsampling import (
    _nearest_index,
    doubled_at_once,
    doubled_by_windows,
    upsample2x,
    upsample_to,
)
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()
F = torch.nn.functional


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("double", [upsample2x, doubled_at_once, doubled_by_windows])
def test_doubling_equals_nearest_resize_and_so_does_its_gradient(double):
    x, weights = features(2, 5, 7, 3), features(2, 10, 14, 3, seed=1)

    def resize(x):
        return jax.image.resize(x, (2, 10, 14, 3), "nearest")

    ours, our_vjp = jax.vjp(double, jnp.array(x))
    theirs, their_vjp = jax.vjp(resize, x)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(our_vjp(weights)[0], their_vjp(weights)[0], atol=1e-6)


def test_upsampling_to_any_size_follows_torchs_nearest_rule():
    for size in range(1, 40):
        row = np.arange(size, dtype=np.float32)
        for new_size in range(1, 90):
            theirs = F.interpolate(torch.from_numpy(row)[None, None], size=new_size)
            index = _nearest_index(size, new_size)
            np.testing.assert_array_equal(row[index], theirs[0, 0])


@pytest.mark.parametrize("height, width", [(25, 13), (26, 14), (13, 7), (26, 13)])
def test_upsampling_takes_rows_and_columns_apart(height, width):
    x = features(2, 13, 7, 3)
    theirs = F.interpolate(to_torch(x), size=(height, width))
    np.testing.assert_array_equal(
        upsample_to(jnp.array(x), height, width), to_nhwc(theirs)
    )


def test_each_platform_gets_its_own_from_one_trace():
    traced = jax.jit(upsample2x).trace(jnp.zeros((1, 2, 3, 4)))
    for platform, windows in (("cpu", False), ("tpu", True), ("cuda", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.reduce_window" in text) == windows, platform
