"""Layers: numbers by hand, torch's padding, norms alone and over devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax import layers
from fpn_jax.layers import (
    Conv,
    SeparableConv,
)
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()

F = torch.nn.functional


def features(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_frozen_norm_is_folded_into_the_convolution():
    conv = Conv(1, 1, norm="frozen", norm_epsilon=1.0)
    variables = {
        "params": {"kernel": jnp.full((1, 1, 1, 1), 3.0), "bias": jnp.full(1, 1.0)},
        "batch_stats": {
            "norm": {
                "scale": jnp.full(1, 4.0),
                "bias": jnp.full(1, 0.5),
                "mean": jnp.full(1, 1.0),
                "var": jnp.full(1, 8.0),
            }
        },
    }
    # 2 * 3 + 1 = 7; (7 - 1) / sqrt(8 + 1) = 2; 2 * 4 + 0.5 = 8.5
    np.testing.assert_allclose(
        conv.apply(variables, jnp.full((1, 1, 1, 1), 2.0)).item(), 8.5, rtol=1e-6
    )


def test_frozen_norm_owns_no_parameters():
    variables = Conv(4, use_bias=False, norm="frozen").init(
        jax.random.key(0), jnp.zeros((1, 8, 8, 3))
    )
    assert list(variables["params"]) == ["kernel"]
    assert sorted(variables["batch_stats"]["norm"]) == ["bias", "mean", "scale", "var"]


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height, width", [(8, 11), (9, 12)])
def test_convolution_pads_as_torch(size, stride, height, width):
    x, kernel = features(2, height, width, 5), features(size, size, 5, 4, seed=1)
    theirs = F.conv2d(
        to_torch(x),
        torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()),
        stride=stride,
        padding=size // 2,
    )
    ours = layers.convolve(x, kernel, stride=stride)
    # Sums of up to 245 products of unit normals in float32.
    np.testing.assert_allclose(ours, to_nhwc(theirs), atol=5e-5)


def test_batch_norm_trains_as_torch():
    x = features(4, 6, 5, 8)
    conv = Conv(8, 1, use_bias=False, norm="batch", train=True)
    variables = conv.init(jax.random.key(0), x)
    identity = {"kernel": jnp.eye(8)[None, None]}
    variables["params"] |= identity
    ours, updated = conv.apply(variables, x, mutable="batch_stats")
    reference = torch.nn.BatchNorm2d(8).train()
    theirs = reference(to_torch(x))
    np.testing.assert_allclose(ours, to_nhwc(theirs), atol=1e-5)
    statistics = updated["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], reference.running_mean, atol=1e-6)
    # torch adds 0.1 of the unbiased variance, we add 0.1 of the biased one.
    biased = 0.9 + (reference.running_var.numpy() - 0.9) * (4 * 6 * 5 - 1) / (4 * 6 * 5)
    np.testing.assert_allclose(statistics["var"], biased, atol=1e-6)


def test_group_norm_has_torchs_epsilon_and_32_groups():
    x = 1e-2 * features(2, 4, 5, 64)  # small, so that the epsilon shows
    conv = Conv(64, 1, use_bias=False, norm="group")
    variables = conv.init(jax.random.key(0), x)
    variables["params"]["kernel"] = jnp.eye(64)[None, None]
    theirs = torch.nn.GroupNorm(32, 64)(to_torch(x))
    np.testing.assert_allclose(
        conv.apply(variables, x), to_nhwc(theirs), rtol=1e-4, atol=1e-5
    )


def batch_norm_step(variables, x, *, axis_name=None):
    """Returns output, new statistics and the gradient of a sum over the whole batch."""
    conv = Conv(8, norm="batch", train=True, axis_name=axis_name)

    def loss(params):
        y, updated = conv.apply(
            variables | {"params": params}, x, mutable="batch_stats"
        )
        return jnp.sum(jnp.sin(y)), (y, updated)

    grads, (y, updated) = jax.grad(loss, has_aux=True)(variables["params"])
    if axis_name is not None:
        grads = jax.lax.psum(grads, axis_name)
    return grads, updated, y


def assert_trees_close(ours, theirs, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), ours, theirs)


def test_batch_norm_under_pmap_is_that_of_the_whole_batch():
    x = features(16, 6, 5, 3) + np.arange(16, dtype=np.float32)[:, None, None, None]
    variables = Conv(8, norm="batch").init(jax.random.key(0), x)
    grads, updated, y = batch_norm_step(variables, x)
    step = jax.pmap(
        partial(batch_norm_step, axis_name="data"), "data", in_axes=(None, 0)
    )
    p_grads, p_updated, p_y = step(variables, x.reshape(8, 2, 6, 5, 3))
    # Sums of 480 terms in another order.
    assert_trees_close(p_y.reshape(y.shape), y, atol=1e-4)
    for device in range(8):
        take = partial(jax.tree.map, lambda leaf, i=device: leaf[i])
        assert_trees_close(take(p_updated), updated, rtol=1e-4, atol=1e-5)
        assert_trees_close(take(p_grads), grads, rtol=1e-3, atol=1e-3)


def test_batch_norm_under_jit_over_a_mesh_is_that_of_the_whole_batch():
    x = features(16, 6, 5, 3) + np.arange(16, dtype=np.float32)[:, None, None, None]
    variables = Conv(8, norm="batch").init(jax.random.key(0), x)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    place = partial(jax.sharding.NamedSharding, mesh)
    split = jax.device_put(x, place(jax.sharding.PartitionSpec("data")))
    copied = jax.device_put(variables, place(jax.sharding.PartitionSpec()))
    sharded = jax.jit(batch_norm_step)(copied, split)
    assert_trees_close(sharded, batch_norm_step(variables, x), rtol=1e-3, atol=1e-3)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters():
    x = features(2, 6, 5, 3)
    for norm in layers.NORMS:
        conv = Conv(32, norm=norm, dtype="bfloat16")
        variables = conv.init(jax.random.key(0), x)
        y = conv.apply(variables, x)
        assert y.dtype == jnp.bfloat16
        assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
        exact = Conv(32, norm=norm).apply(variables, x)
        # bfloat16 has 8 bits of mantissa; sums are of 27 products.
        np.testing.assert_allclose(y.astype(jnp.float32), exact, atol=0.1)


@pytest.mark.parametrize("norm", layers.NORMS)
def test_half_precision_needs_no_promotion_of_types(norm):
    x = features(2, 6, 5, 3)
    conv = Conv(32, norm=norm, train=True, dtype="bfloat16")

    def loss(variables):
        y, _ = conv.apply(variables, x, mutable=["batch_stats"])
        return y.astype(jnp.float32).sum()

    with jax.numpy_dtype_promotion("strict"):
        variables = jax.eval_shape(conv.init, jax.random.key(0), x)
        gradient = jax.eval_shape(jax.grad(loss), variables)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(gradient)} == {"float32"}


def test_a_separable_convolution_by_hand():
    # One pixel of two channels: the middle of the filter doubles it, SiLU, then a sum.
    conv = SeparableConv(partial(Conv, use_bias=False), features=1)
    middle = jnp.zeros((3, 3, 1, 2)).at[1, 1].set(2.0)
    params = {
        "depthwise": {"kernel": middle},
        "pointwise": {"kernel": jnp.ones((1, 1, 2, 1))},
    }
    y = conv.apply({"params": params}, jnp.array([[[[0.5, 1.0]]]]))
    # silu(1) + silu(2) = 0.7311 + 1.7616.
    np.testing.assert_allclose(y, [[[[2.4927]]]], rtol=1e-4)


@pytest.mark.parametrize("fields", [{"depthwise": True}, {"groups": 2}, {}])
def test_strips_are_refused_where_they_would_be_taken_for_images(fields):
    x = jnp.zeros((4, 8, 8, 32))
    rows = None if fields else jnp.ones(4, bool)
    with pytest.raises(ValueError, match="x has 2 strips of each image"):
        Conv(32, norm="group", **fields).init(jax.random.key(0), x, rows, strips=2)


def test_unknown_norm_names_the_nearest():
    with pytest.raises(ValueError, match="norm must be one of .* got 'grup'.*'group'"):
        Conv(8, norm="grup").init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
