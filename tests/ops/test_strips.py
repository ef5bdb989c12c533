"""Convolution by strips against XLA's own: values, gradients, and where it is taken."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.layers import convolve
from fpn_jax.ops.meshes import traced_on
from fpn_jax.ops.strips import convolve_strips, cut, joined, strips_of
from fpn_jax.training.step import data_mesh, shardings
from tests.support.tpu import traced_for_tpu


def arrays(*shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [jnp.asarray(generator.normal(size=s), jnp.float32) for s in shapes]


def test_cut_images_are_joined_again():
    (x,) = arrays((2, 3, 24, 5))
    strips = cut(x, 4)
    np.testing.assert_array_equal(strips[5], x[1, :, 6:12])
    np.testing.assert_array_equal(joined(strips, 4), x)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("count", [2, 4])
def test_strips_give_the_convolution_and_its_gradients(size, stride, count):
    x, kernel = arrays((2, 6, 24, 3), (size, size, 3, 4))

    def whole(x, kernel):
        padding = [(size // 2, size // 2)] * 2
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def by_strips(x, kernel):
        return joined(convolve_strips(count, stride, cut(x, count), kernel), count)

    theirs, their_pull = jax.vjp(whole, x, kernel)
    ours, our_pull = jax.vjp(by_strips, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    (weights,) = arrays(theirs.shape, seed=1)
    for mine, other in zip(our_pull(weights), their_pull(weights), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize(
    "images, width, count",
    [(1, 168, 8), (2, 168, 4), (4, 168, 2), (6, 168, 4), (8, 168, 1), (16, 168, 1)]
    # Not divided evenly, or too narrow.
    + [(2, 42, 1), (2, 24, 1)],
)
def test_images_are_cut_into_as_many_as_make_eight(images, width, count):
    x = jnp.zeros((images, 3, width, 1))
    assert traced_for_tpu(strips_of)(x) == count
    assert strips_of(x) == 1  # of whose device nothing is known


def test_the_reduced_width_decides():
    x = jnp.zeros((2, 3, 96, 1))
    assert traced_for_tpu(strips_of)(x) == 4
    assert traced_for_tpu(partial(strips_of, reduction=4))(x) == 1


def test_any_number_of_images_is_not_cut():
    (images,) = jax.export.symbolic_shape("b")
    x = jax.ShapeDtypeStruct((images, 3, 64, 5), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 5, 7), jnp.float32)
    program = jax.jit(traced_for_tpu(convolve))
    exported = jax.export.export(program, platforms=("tpu", "cpu"))(x, kernel)
    assert exported.out_avals[0].shape == (images, 3, 64, 7)


def test_only_the_trace_for_a_tpu_has_strips():
    x, kernel = arrays((2, 3, 64, 5), (3, 3, 5, 7))
    own = partial(traced_on, data_mesh(jax.devices()[:1]))
    for traced, has in ((own, False), (traced_for_tpu, True)):
        step = traced(jax.grad(lambda *a: convolve(*a).sum(), argnums=(0, 1)))
        text = jax.jit(step).lower(x, kernel).as_text()
        assert ("tensor<8x3x18x5xf32>" in text) == has


@pytest.mark.parametrize(
    "images, devices, is_product", [(8, 1, False), (2, 1, True), (8, 2, True)]
)
def test_eight_images_of_a_tpu_are_no_matrix_product(images, devices, is_product):
    x, kernel = arrays((images, 4, 6, 5), (1, 1, 5, 7))
    step = jax.grad(lambda *a: jnp.sin(convolve(*a, stride=2)).sum(), argnums=(0, 1))
    for_tpu = jax.jit(traced_for_tpu(step, devices=devices)).lower(x, kernel)
    text = for_tpu.as_text()
    assert ("stablehlo.dot_general" in text) == is_product
    assert ("stablehlo.convolution" in text) == (not is_product)
    assert "stablehlo.convolution" not in jax.jit(step).lower(x, kernel).as_text()
    if devices == 1:
        ours, theirs = for_tpu.compile()(x, kernel), step(x, kernel)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), ours, theirs)


def test_a_batch_over_devices_is_cut_by_what_each_has():
    x, kernel = arrays((16, 3, 64, 5), (3, 3, 5, 7))
    text = {
        devices: jax.jit(traced_for_tpu(convolve, devices=devices))
        .lower(x, kernel)
        .as_text()
        for devices in (8, 1)
    }
    assert "tensor<64x3x18x5xf32>" in text[8]  # 16 images of four strips
    assert "x3x18x5xf32" not in text[1]


@pytest.mark.parametrize("stride", [1, 2])
def test_strips_stay_on_the_device_of_their_image(stride):
    mesh = data_mesh()
    assert mesh.size == 8
    copied, split = shardings(mesh)
    x, kernel = arrays((8, 4, 64, 5), (3, 3, 5, 7))
    compiled = (
        jax.jit(
            lambda x, kernel: joined(convolve_strips(8, stride, cut(x, 8), kernel), 8),
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
        convolve(x, kernel, stride=stride),
        atol=1e-5,
    )
