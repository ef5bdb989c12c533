"""FPN against torchvision, the paper's ablations, and counts."""

from collections import OrderedDict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.necks.fpn import FPN
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision_heads import neck_rules
from tests.support.twins import CHANNELS, pyramid

torch, torchvision = import_torchvision()

fpn_module = torchvision.ops.feature_pyramid_network


def torch_fpn(levels, extra_blocks=None) -> torch.nn.Module:
    torch.manual_seed(0)
    channels = [CHANNELS[level] for level in levels]
    neck = torchvision.ops.FeaturePyramidNetwork(channels, 12, extra_blocks)
    with torch.no_grad():
        for name, parameter in neck.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return neck


def load(neck: FPN, reference: torch.nn.Module, features: dict) -> dict:
    variables = jax.eval_shape(neck.init, jax.random.key(0), features)
    return convert(
        numpy_state(reference), neck_rules(neck, sorted(features)), variables
    )


def run_torch(reference: torch.nn.Module, features: dict) -> list:
    return list(
        reference(
            OrderedDict((str(k), to_torch(x)) for k, x in features.items())
        ).values()
    )


@pytest.mark.parametrize(
    "extra, levels, block",
    [
        ("none", (2, 3, 4, 5), None),
        ("pool", (2, 3, 4, 5), fpn_module.LastLevelMaxPool()),
        ("none", (2, 4), None),  # returned_layers=[1, 3]
        ("pool", (2, 5), fpn_module.LastLevelMaxPool()),
        ("conv_p5", (3, 4, 5), fpn_module.LastLevelP6P7(12, 12)),
        ("conv_c5", (3, 4, 5), fpn_module.LastLevelP6P7(CHANNELS[5], 12)),
    ],
)
@pytest.mark.parametrize("height, width", [(64, 96), (75, 101)])
def test_levels_equal_torchvisions(extra, levels, block, height, width):
    features = pyramid(*levels, height=height, width=width)
    neck = FPN(12, extra=extra)
    reference = torch_fpn(levels, block)
    ours = jax.jit(neck.apply)(load(neck, reference, features), features)
    theirs = run_torch(reference, features)
    num_extra = len(theirs) - len(levels)
    assert list(ours) == [*levels, *range(levels[-1] + 1, levels[-1] + 1 + num_extra)]
    for x, expected in zip(ours.values(), theirs, strict=True):
        expected = to_nhwc(expected)
        assert x.shape == expected.shape
        assert np.abs(x - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_stands_where_torchvision_puts_it(train):
    features = pyramid(3, 4, 5)
    neck = FPN(12, norm="batch", norm_epsilon=1e-3)
    reference = torchvision.ops.FeaturePyramidNetwork(
        [CHANNELS[level] for level in features],
        12,
        fpn_module.LastLevelMaxPool(),
        partial(torch.nn.BatchNorm2d, eps=1e-3),
    )
    randomize_norms(reference).train(train)
    variables = load(neck, reference, features)
    ours, updates = neck.apply(
        variables, features, train=train, mutable=["batch_stats"]
    )
    with torch.no_grad():
        theirs = run_torch(reference, features)
    for x, expected in zip(ours.values(), theirs, strict=True):
        expected = to_nhwc(expected)
        assert np.abs(x - expected).max() <= 1e-5 * np.abs(expected).max()
    means = load(neck, reference, features)
    for path in ("lateral4", "output3"):
        np.testing.assert_allclose(
            updates["batch_stats"][path]["norm"]["mean"],
            means["batch_stats"][path]["norm"]["mean"],
            atol=1e-5,
        )


def test_p6_and_p7_have_a_bias_and_no_norm():
    neck = FPN(12, norm="batch", extra="conv_p5")
    variables = jax.eval_shape(neck.init, jax.random.key(0), pyramid(3, 4, 5))
    assert variables["params"]["p6"].keys() == {"kernel", "bias"}
    assert variables["params"]["p7"].keys() == {"kernel", "bias"}
    assert variables["params"]["output5"].keys() == {"kernel", "norm"}


def test_gradients_equal_torchs():
    features = pyramid(3, 4, 5)
    neck = FPN(12, extra="conv_c5")
    reference = torch_fpn((3, 4, 5), fpn_module.LastLevelP6P7(CHANNELS[5], 12))
    variables = load(neck, reference, features)

    def loss(variables):
        outputs = neck.apply(variables, features)
        return sum(jnp.sin(x).mean() for x in outputs.values())

    ours = jax.jit(jax.grad(loss))(variables)
    sum(torch.sin(x).mean() for x in run_torch(reference, features)).backward()
    grads = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    theirs = convert(grads, neck_rules(neck, [3, 4, 5]), variables)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def identity_fpn(neck: FPN, features: dict) -> dict:
    """Returns outputs where each convolution passes on the mean of its channels."""
    variables = neck.init(jax.random.key(0), features)

    def fill(leaf):
        if leaf.ndim == 1:
            return jnp.zeros_like(leaf)
        center = leaf.shape[0] // 2
        return jnp.zeros_like(leaf).at[center, center].set(1 / leaf.shape[2])

    return neck.apply(jax.tree.map(fill, variables), features)


def constant_pyramid() -> dict:
    """Returns C3 = 1, C4 = 10, C5 = 100 everywhere."""
    return {
        level: jnp.full((1, 32 // 2**level, 32 // 2**level, 2), value)
        for level, value in ((3, 1.0), (4, 10.0), (5, 100.0))
    }


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({}, {3: 111, 4: 110, 5: 100, 6: 100}),
        ({"top_down": False}, {3: 1, 4: 10, 5: 100, 6: 100}),
        ({"lateral": False}, {3: 100, 4: 100, 5: 100, 6: 100}),
        ({"levels": (3,)}, {3: 111}),
        ({"levels": (6, 4)}, {4: 110, 6: 100}),
        ({"extra": "none"}, {3: 111, 4: 110, 5: 100}),
        ({"extra": "conv_p5"}, {3: 111, 4: 110, 5: 100, 6: 100, 7: 100}),
    ],
)
def test_each_level_is_the_sum_that_the_paper_draws(fields, expected):
    outputs = identity_fpn(FPN(2, **fields), constant_pyramid())
    assert list(outputs) == list(expected)
    for level, value in expected.items():
        np.testing.assert_allclose(outputs[level], value, rtol=1e-6)


@pytest.mark.parametrize(
    "fields, names",
    [
        ({}, {"lateral3", "lateral4", "lateral5", "output3", "output4", "output5"}),
        ({"lateral": False}, {"lateral5", "output3", "output4", "output5"}),
        ({"levels": (3,)}, {"lateral3", "lateral4", "lateral5", "output3"}),
        ({"levels": (4,)}, {"lateral4", "lateral5", "output4"}),
        ({"levels": (6,)}, {"lateral5", "output5"}),
        (
            {"levels": (5, 6, 7), "extra": "conv_p5"},
            {"lateral5", "output5", "p6", "p7"},
        ),
    ],
)
def test_only_the_parameters_that_are_used_are_built(fields, names):
    neck = FPN(2, **fields)
    variables = jax.eval_shape(neck.init, jax.random.key(0), constant_pyramid())
    assert variables["params"].keys() == names


@pytest.mark.parametrize(
    "first, fields, count",
    [
        (2, {}, 3_344_384),
        (2, {"norm": "batch"}, 3_346_432),
        (3, {"extra": "conv_p5"}, 3_868_672),
        (3, {"extra": "conv_c5"}, 7_997_440),
    ],
)
def test_parameter_counts_on_resnet_50(first, fields, count):
    features = {
        level: jnp.zeros((1, 2**6 // 2**level, 2**6 // 2**level, 64 * 2**level))
        for level in range(first, 6)
    }
    variables = jax.eval_shape(FPN(**fields).init, jax.random.key(0), features)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_initial_weights_are_kaiming_uniform_with_a_of_1_and_zero_bias():
    features = {5: jnp.zeros((1, 2, 2, 64))}
    params = FPN(128, extra="none").init(jax.random.key(0), features)["params"]
    for name, fan_in in (("lateral5", 64), ("output5", 9 * 128)):
        bound = (3 / fan_in) ** 0.5
        kernel = np.abs(params[name]["kernel"])
        assert 0.99 * bound < kernel.max() <= bound
        assert abs(kernel.mean() / bound - 0.5) < 0.01  # of 8192 uniform numbers
        assert not params[name]["bias"].any()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"extra": "pol"}, r"extra must be .* got 'pol' \(nearest: 'pool'\)"),
        ({"levels": (7,)}, r"levels must be one of 3, 4, 5, 6, got 7 \(nearest: 6\)"),
        ({"levels": ()}, "levels must be one of 3, 4, 5, 6, got None"),
        ({"lateral": False, "top_down": False}, "lateral and top_down are both False"),
    ],
)
def test_wrong_fields_name_the_nearest(fields, message):
    with pytest.raises(ValueError, match=message):
        FPN(2, **fields).init(jax.random.key(0), constant_pyramid())
