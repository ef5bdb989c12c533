"""Schedules and updates, by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from fpn_jax.training.config import Config, OptimizerConfig
from fpn_jax.training.muon import muon, orthogonalize
from fpn_jax.training.optimizer import (
    learning_rate_schedule,
    make_optimizer,
    reported_rate,
    warmup_line,
)

PLAIN = OptimizerConfig(
    name="sgd", learning_rate=0.1, schedule="constant", warmup_steps=0, weight_decay=0.0
)


def with_options(**options) -> OptimizerConfig:
    return replace(PLAIN, **options)


def test_warmup_rises_from_a_thousandth_to_the_full_rate():
    rate = learning_rate_schedule(with_options(warmup_steps=10), 100)
    assert rate(0) == pytest.approx(0.1 / 1000, rel=1e-4)  # float32: 0.1 minus 0.0999
    assert rate(5) == pytest.approx(0.1 * (0.001 + 1) / 2)
    assert rate(10) == rate(99) == pytest.approx(0.1)


def test_steps_divide_by_ten_at_the_shares_of_the_run():
    config = with_options(schedule="step", milestones=(0.5, 0.75), warmup_steps=4)
    rate = learning_rate_schedule(config, 100)
    found = [float(rate(step)) for step in (49, 51, 74, 76)]
    np.testing.assert_allclose(found, [0.1, 0.01, 0.01, 0.001], rtol=1e-5)


def test_cosine_ends_at_zero_and_is_half_way_in_the_middle():
    config = with_options(schedule="cosine", warmup_steps=20)
    rate = learning_rate_schedule(config, 100)
    assert rate(60) == pytest.approx(0.05)
    assert rate(100) == pytest.approx(0, abs=1e-9)


def one_update(config: OptimizerConfig, gradient: dict, **options) -> dict:
    params = {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.full((1,), 2.0)}
    optimizer = make_optimizer(config, 10, **options)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    return optax.apply_updates(params, updates)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (5, 40), (16, 16), (1, 1, 8, 1)])
def test_muon_updates_a_kernel_as_optax_does_and_a_bias_by_adam(shape):
    config = with_options(name="muon", learning_rate=0.1, weight_decay=0.5)
    random = np.random.default_rng(0)
    params = {"kernel": jnp.ones(shape), "bias": jnp.ones(8)}
    gradient = jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), params
    )
    theirs = optax.contrib.muon(
        0.1,
        weight_decay=0.5,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=lambda params: jax.tree.map(as_matrix, params),
    )
    found, expected = (
        optimizer.update(gradient, optimizer.init(params), params)[0]
        for optimizer in (make_optimizer(config, 10), theirs)
    )
    scale = np.abs(expected["kernel"]).max()
    np.testing.assert_allclose(
        found["kernel"], expected["kernel"], rtol=0, atol=1e-5 * scale
    )
    # Adam's first step is the sign; with Nesterov's momentum 0.09 / 0.19 more.
    signs = -0.1 * (1 + 0.09 / 0.19) * np.sign(gradient["bias"])
    np.testing.assert_allclose(found["bias"], signs, rtol=1e-4)


def as_matrix(leaf):
    if leaf.ndim < 2:
        return None
    *inputs, output = range(leaf.ndim)
    return optax.contrib.MuonDimensionNumbers(tuple(inputs), (output,))


def test_muon_evens_out_the_singular_values_of_its_momentum():
    """Those of its second update, of two unlike gradients."""
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 36, 8)).astype(np.float32)
    second[:, 0] *= 100
    optimizer = muon(1.0)
    state = optimizer.init(first)
    _, state = optimizer.update(first, state, first)
    update, _ = optimizer.update(second, state, first)
    momentum = second + 0.95 * (second + 0.95 * first)
    np.testing.assert_allclose(update, -0.2 * 6 * orthogonalize(momentum), atol=1e-5)
    values = np.linalg.svd(-np.asarray(update), compute_uv=False) / (0.2 * 6)
    assert 0.6 < values.min() < values.max() < 1.3


def test_muon_leaves_a_kernel_without_gradient_where_it_is():
    assert not np.any(orthogonalize(jnp.zeros((3, 3, 4, 8))))


ONES = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones((1,))}


def test_decay_acts_on_kernels_alone_unless_told():
    params = one_update(with_options(weight_decay=0.5), ONES)
    assert params["kernel"] == pytest.approx(2 - 0.1 * (1 + 0.5 * 2))
    assert params["bias"] == pytest.approx(2 - 0.1)
    config = with_options(weight_decay=0.5, decay_norms_and_biases=True)
    assert one_update(config, ONES)["bias"] == pytest.approx(2 - 0.1 * 2)


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    gradient = {"kernel": jnp.full((1, 1), 3.0), "bias": jnp.full((1,), 4.0)}
    params = one_update(with_options(clip_norm=1.0), gradient)
    assert params["kernel"] == pytest.approx(2 - 0.1 * 3 / 5)
    assert params["bias"] == pytest.approx(2 - 0.1 * 4 / 5)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_frozen_parameters_do_not_move_even_by_decay(name):
    config = with_options(name=name, weight_decay=0.5)
    params = one_update(config, ONES, frozen={"kernel": True, "bias": False})
    assert params["kernel"] == 2
    assert params["bias"] != 2


def test_accumulation_averages_the_gradients_of_its_steps():
    params = {"kernel": jnp.full((1, 1), 2.0)}
    optimizer = make_optimizer(with_options(accumulate=2), 10)
    state = optimizer.init(params)
    for gradient, wanted in ((1.0, 2.0), (3.0, 2 - 0.1 * 2)):
        updates, state = optimizer.update(
            {"kernel": jnp.full((1, 1), gradient)}, state, params
        )
        params = optax.apply_updates(params, updates)
        assert jax.device_get(params["kernel"]) == pytest.approx(wanted)


def half(steps: int) -> optax.GradientTransformation:
    return optax.sgd(1 / steps)


def scheduled(steps: int) -> optax.GradientTransformation:
    rate = optax.linear_schedule(0.5, 0.0, steps)
    return optax.inject_hyperparams(optax.sgd)(learning_rate=rate)


def test_an_optimizer_of_the_users_gets_the_steps_and_moves_nothing_frozen():
    params = one_update(half, ONES)  # of 10 steps
    assert (params["kernel"], params["bias"]) == (pytest.approx(1.9),) * 2
    params = one_update(half, ONES, frozen={"kernel": True, "bias": False})
    assert (params["kernel"], params["bias"]) == (2, pytest.approx(1.9))


def test_a_function_that_makes_no_optimizer_is_told():
    with pytest.raises(ValueError, match="optax.GradientTransformation, got float"):
        make_optimizer(float, 10)


def test_the_learning_rate_is_reported_where_it_is_known():
    params = {"kernel": jnp.ones((1, 1))}
    rates = []
    for function in (half, scheduled):
        optimizer = make_optimizer(function, 10)
        state = optimizer.init(params)
        for step in range(2):
            _, state = optimizer.update(params, state, params)
            rates.append(reported_rate(function, 10, step, state))
    assert rates[:2] == [{}, {}]
    assert [float(r["learning_rate"]) for r in rates[2:]] == pytest.approx([0.5, 0.45])
    ours = reported_rate(with_options(accumulate=2), 10, 4, ())
    assert ours["learning_rate"] == pytest.approx(0.1)


def test_there_is_one_set_of_defaults():
    assert OptimizerConfig() == Config().optimizer
    assert OptimizerConfig(clip_norm=1) == replace(Config().optimizer, clip_norm=1)


def test_a_run_that_ends_in_its_warm_up_says_what_rate_it_reaches():
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=10, accumulate=2)
    assert warmup_line(config, 22) is None
    assert warmup_line(optax.sgd, 2) is None
    # The ramp begins at 0.001: after five of ten updates it is about one half.
    assert warmup_line(config, 12) == (
        "optimizer.warmup_steps is 10, the run has 6 updates: "
        "the learning rate rises to 0.5 of 1"
    )
