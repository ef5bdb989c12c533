"""ResNet for a TPU, on strips and quads, against itself elsewhere."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.resnet import ResNet
from tests.support.tpu import traced_for_tpu


@pytest.mark.parametrize(
    "fields, images, has",
    [
        # 128 columns of stage 2 are four strips; those of stage 5 would be too narrow.
        ({}, 2, "strips and quads"),
        ({"depth": 50, "stride_in_1x1": True, "frozen_stages": 2}, 2, "strips, quads"),
        ({"norm": "batch"}, 2, "strips"),
        ({"norm": "batch", "frozen_stages": 1}, 2, "strips, quads"),
        ({}, 8, "quads"),
        # Each convolution cuts for itself: the norm is of whole images.
        ({"norm": "group", "width": 32}, 2, "strips"),
        ({"depth": 50, "groups": 2, "width_per_group": 32}, 8, "quads"),
    ],
)
def test_values_and_gradients_are_those_of_whole_images(fields, images, has):
    resnet = ResNet(**{"depth": 18, "width": 8, **fields})
    # In float64: rounding grows through the layers, and units at 0 change sides.
    with jax.enable_x64(True):
        shape = (images, 32, 512, 3) if images < 8 else (images, 32, 64, 3)
        x = jnp.asarray(np.random.default_rng(0).normal(size=shape))
        variables = resnet.init(jax.random.key(0), x[:, :32, :32])
        random = np.random.default_rng(1)
        # Norms whose vectors are neither 0 nor 1.
        variables = jax.tree.map(
            lambda v: v + (v.ndim == 1) * random.uniform(0, 0.1, v.shape), variables
        )

        def loss(params, x):
            pyramid, _ = resnet.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return sum(jnp.sin(y).mean() for y in pyramid.values()), pyramid

        step = jax.grad(loss, has_aux=True)
        whole = jax.jit(step).lower(variables["params"], x)
        cut = jax.jit(traced_for_tpu(step)).lower(variables["params"], x)
        text = cut.as_text()
        assert (f"tensor<8x8x34x{resnet.width}xf64>" in text) == ("strips" in has)
        assert (f"x{4 * resnet.width}xf64>" in text and "barrier" in text) == (
            "quads" in has
        )
        ours = cut.compile()(variables["params"], x)
        theirs = whole.compile()(variables["params"], x)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-12), ours, theirs
    )
