"""Convolution by strips against XLA's own: values, gradients, and where it is taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.layers import convolve
from fpn_jax.ops.strips import convolve_strips, strips_of
from fpn_jax.training.step import data_mesh, shardings, traced_on


def arrays(*shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=s), jnp.float32) for s in shapes]


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("count", [2, 4])
def test_strips_give_the_convolution_and_its_gradients(size, count):
    x, kernel, weights = arrays((2, 5, 24, 3), (size, size, 3, 4), (2, 5, 24, 4))

    def whole(x, kernel):
        padding = [(size // 2, size // 2)] * 2
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    theirs, their_pull = jax.vjp(whole, x, kernel)
    ours, our_pull = jax.vjp(lambda *a: convolve_strips(count, *a), x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for mine, other in zip(our_pull(weights), their_pull(weights), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize(
    "images, width, count",
    [(1, 168, 8), (2, 168, 4), (4, 168, 2), (6, 168, 4), (8, 168, 1), (16, 168, 1)]
    # Not divided evenly, or too narrow.
    + [(2, 42, 1), (2, 24, 1)],
)
def test_images_are_cut_into_as_many_as_make_eight(images, width, count):
    assert strips_of(jnp.zeros((images, 3, width, 1))) == count


def test_any_number_of_images_is_not_cut():
    (images,) = jax.export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((images, 3, 64, 5), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 5, 7), jnp.float32)
    exported = jax.export.export(jax.jit(convolve), platforms=("tpu", "cpu"))(x, kernel)
    assert exported.out_avals[0].shape == (images, 3, 64, 7)


def test_only_a_tpu_gets_strips_from_one_trace():
    x, kernel = arrays((2, 3, 64, 5), (3, 3, 5, 7))
    traced = jax.jit(jax.grad(lambda *a: convolve(*a).sum(), argnums=(0, 1))).trace(
        x, kernel
    )
    for platform, has in (("cpu", False), ("cuda", False), ("tpu", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("tensor<8x3x18x5xf32>" in text) == has, platform


def test_a_batch_over_devices_is_cut_by_what_each_has():
    mesh = data_mesh()
    assert mesh.size == 8
    copied, split = shardings(mesh)
    x, kernel = arrays((16, 3, 64, 5), (3, 3, 5, 7))
    text = {
        told: jax.jit(
            traced_on(mesh, convolve) if told else convolve,
            in_shardings=(split, copied),
        )
        .trace(x, kernel)
        .lower(lowering_platforms=("tpu",))
        .as_text()
        for told in (True, False)
    }
    assert "tensor<64x3x18x5xf32>" in text[True]  # 8 images of four strips, 8 devices
    assert "x3x18x5xf32" not in text[False]


def test_strips_stay_on_the_device_of_their_image():
    mesh = data_mesh()
    copied, split = shardings(mesh)
    x, kernel = arrays((8, 3, 64, 5), (3, 3, 5, 7))
    compiled = (
        jax.jit(
            lambda x, kernel: convolve_strips(8, x, kernel),
            in_shardings=(split, copied),
            out_shardings=split,
        )
        .lower(x, kernel)
        .compile()
    )
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert collective not in compiled.as_text()
    np.testing.assert_allclose(
        compiled(jax.device_put(x, split), jax.device_put(kernel, copied)),
        convolve(x, kernel),
        atol=1e-5,
    )
