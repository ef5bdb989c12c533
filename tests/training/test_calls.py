"""Several steps in one call: where calls end, and that they change nothing else."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.training import TrainConfig
from fpn_jax.training.calls import calls, take
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.loop import train
from fpn_jax.training.metrics import read_metrics
from fpn_jax.training.programs import abstract_state
from fpn_jax.training.step_numbers import NonFiniteLoss
from tests.support.compilations import count_compilations
from tests.support.miniature import get_config


def test_a_call_ends_where_something_is_written():
    config = TrainConfig(
        steps=21, steps_per_call=4, log_every=10, save_every=7, evaluate_every=500
    )
    assert [*calls(0, config)] == [
        (4, 4), (7, 3), (10, 3), (14, 4), (18, 4), (20, 2), (21, 1),
    ]  # fmt: skip
    # A run that goes on from a saved state makes the same calls.
    assert [*calls(14, config)] == [*calls(0, config)][4:]
    assert [*calls(21, config)] == []


def test_batches_of_two_shapes_are_taken_one_by_one():
    seen = []

    def one(state, batch):
        seen.append(1)
        return state + 1, {"loss": 0.0}

    def many(state, batches):
        seen.append(len(batches))
        return state + len(batches), {"loss": np.zeros(len(batches))}

    programs = SimpleNamespace(train=one, train_many=many)
    flat, tall = ({"images": np.zeros(shape)} for shape in ((1, 2, 3), (1, 3, 2)))
    assert take(programs, 0, [flat, flat], 2)[0] == 2  # type: ignore[arg-type]
    assert take(programs, 2, [flat, tall], 2)[0] == 4  # type: ignore[arg-type]
    assert take(programs, 4, [flat], 2)[0] == 5  # type: ignore[arg-type]
    assert seen == [2, 1, 1, 1]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "1.0.0"
    write_digits(directory, {"train": 16, "validation": 8})
    config = get_config()
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, source=str(directory)),
        model=config.model.clone(backbone=Dummy(levels=(2, 3))),  # compiles fast
        train=dataclasses.replace(
            config.train,
            steps=16,
            log_every=8,
            save_every=8,
            evaluate_every=16,
            ema_decay=0.9,
        ),
    )


def with_training(config, **changes):
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, **changes)
    )


def last_state(config, run):
    checkpoints = Checkpoints(run, best="AP", keep=2, writes=False)
    state, _ = checkpoints.restore(abstract_state(config), checkpoints.latest_step)
    checkpoints.close()
    return jax.tree.map(np.asarray, (state.params, state.opt_state, state.ema))


@pytest.mark.parametrize("parallelism", ["jit", "pmap"])
def test_eight_steps_in_a_call_give_the_parameters_of_one_by_one(
    config, tmp_path, parallelism
):
    config = with_training(config, parallelism=parallelism)
    train(config, tmp_path / "one")
    together = with_training(config, steps_per_call=8)
    with count_compilations() as compiled:
        train(together, tmp_path / "eight")
    assert len(compiled) == 3  # initial state, eight steps, evaluation
    one, eight = (last_state(config, tmp_path / name) for name in ("one", "eight"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    rows = [
        [row["loss"] for row in read_metrics(tmp_path / name) if "loss" in row]
        for name in ("one", "eight")
    ]
    np.testing.assert_allclose(*rows, rtol=1e-5)


def test_a_run_that_goes_on_gives_the_bits_of_one_that_never_stopped(config, tmp_path):
    optimizer = dataclasses.replace(config.optimizer, schedule="constant")
    config = dataclasses.replace(
        with_training(config, steps_per_call=8), optimizer=optimizer
    )
    train(config, tmp_path / "whole")
    half = with_training(config, steps=8, evaluate_every=8)
    train(half, tmp_path / "parts")
    train(config, tmp_path / "parts")
    whole, parts = (last_state(config, tmp_path / name) for name in ("whole", "parts"))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_step_that_is_not_finite_is_told_also_of_eight_at_once(config, tmp_path):
    optimizer = dataclasses.replace(
        config.optimizer, name="sgd", learning_rate=1e30, warmup_steps=0
    )
    config = dataclasses.replace(
        with_training(config, steps_per_call=8), optimizer=optimizer
    )
    with pytest.raises(NonFiniteLoss, match="at step 2"):
        train(config, tmp_path)
