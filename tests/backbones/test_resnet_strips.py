"""ResNet for a TPU, on strips and quads, against itself elsewhere."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.ops import meshes
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
        # The norm is of all strips of an image.
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


def test_stages_stay_cut_whatever_their_norm_is():
    x = jnp.zeros((2, 32, 512, 3))

    def moves(norm):
        resnet = ResNet(depth=18, width=32, norm=norm)
        variables = jax.eval_shape(resnet.init, jax.random.key(0), x)
        apply = partial(resnet.apply, train=True, mutable=["batch_stats"])
        lowered = jax.jit(traced_for_tpu(apply)).lower(variables, x)
        return lowered.as_text().count("stablehlo.transpose")

    assert moves("group") == moves("batch") > 0


@pytest.mark.parametrize("by", ["pmap", "shard_map"])
def test_each_device_of_a_map_cuts_its_own_images(by, monkeypatch):
    """Two images on each of two devices; the gradients are those of all four."""
    resnet = ResNet(depth=18, width=8)
    devices = jax.devices()[:2]
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 32, 512, 3)))
        variables = resnet.init(jax.random.key(0), x[:, :32, :32])
        variables = jax.tree.map(lambda v: v.astype(jnp.float64), variables)

        def loss(params, x):
            pyramid = resnet.apply({**variables, "params": params}, x)
            return sum(jnp.sin(y).mean() for y in pyramid.values())

        def step(params, x):
            gradient = jax.grad(loss)(params, x)
            if by == "shard_map":  # which adds up those of what it has no copies of
                return jax.tree.map(lambda g: g / len(devices), gradient)
            return jax.lax.pmean(gradient, "data")

        params = variables["params"]
        theirs = jax.jit(jax.grad(loss))(params, x)
        monkeypatch.setattr(meshes, "_kind_of_device", lambda: "TPU v5 lite")
        if by == "pmap":
            x = x.reshape(2, 2, *x.shape[1:])
            options = {"in_axes": (None, 0), "out_axes": None, "devices": devices}
            mapped = jax.pmap(step, axis_name="data", **options)
        else:
            auto = (AxisType.Auto,)
            mesh = jax.make_mesh((2,), ("data",), axis_types=auto, devices=devices)
            copied, split = PartitionSpec(), PartitionSpec("data")
            specs = {"in_specs": (copied, split), "out_specs": copied}
            mapped = jax.jit(jax.shard_map(step, mesh=mesh, **specs))
        lowered = mapped.lower(params, x)
        assert "tensor<8x8x34x8xf64>" in lowered.as_text()
        ours = lowered.compile()(params, x)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-12), ours, theirs
    )
