"""A recipe sees the same images, whatever the size of a batch."""

import dataclasses
from pathlib import Path

import optax
import pytest

from fpn_jax.training.batch_scaling import scale_to_batch, scaled_line
from fpn_jax.training.experiment import load_experiment
from fpn_jax.training.optimizer import learning_rate_schedule

RECIPE = Path(__file__).parents[2] / "experiments" / "coco_rpn.py"


def recipe(batch_size: int, accumulate: int = 1):
    config = load_experiment(RECIPE)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data, batch_size=batch_size, unmixed_steps=9000
        ),
        optimizer=dataclasses.replace(config.optimizer, accumulate=accumulate),
    )


@pytest.mark.parametrize(
    "batch_size, accumulate, rate, steps",
    [
        (16, 1, 0.02, 90_000),
        (4, 1, 0.005, 360_000),
        (64, 1, 0.08, 22_500),
        (4, 4, 0.02, 360_000),  # an update of 16 images takes four steps
        (6, 1, 0.0075, 240_000),
    ],
)
def test_rate_and_steps_are_in_proportion(batch_size, accumulate, rate, steps):
    config = scale_to_batch(recipe(batch_size, accumulate))
    assert config.optimizer.peak == pytest.approx(rate)
    assert config.train.steps == steps
    assert config.train.steps * batch_size == 16 * 90_000
    assert config.train.evaluate_every == steps // 6
    assert config.data.unmixed_steps == steps // 10
    assert config.optimizer.warmup_steps == 1000
    assert scale_to_batch(config) == config


def test_without_a_reference_nothing_changes():
    config = recipe(4)
    train = dataclasses.replace(config.train, reference_batch_size=None)
    config = dataclasses.replace(config, train=train)
    assert scale_to_batch(config) is config


def test_the_1x_schedule_is_detectron2s():
    config = load_experiment(RECIPE)
    rate = learning_rate_schedule(config.optimizer, config.train.steps)
    assert rate(0) == pytest.approx(2e-5, rel=1e-4)
    assert rate(500) == pytest.approx(0.01, rel=1e-2)
    for step, expected in (
        *((1000, 0.02), (59_999, 0.02), (60_001, 0.002)),
        *((79_999, 0.002), (80_001, 0.0002), (89_999, 0.0002)),
    ):
        assert rate(step) == pytest.approx(expected, rel=1e-4), step


def test_numbers_that_were_typed_stay_as_they_are():
    written = recipe(4)
    typed = {"train.steps", "optimizer.learning_rate"}
    scaled = scale_to_batch(written, typed)
    assert scaled.train.steps == 90_000
    assert scaled.optimizer.peak == 0.02
    assert scaled.train.evaluate_every == 4 * written.train.evaluate_every
    typed = {"train.evaluate_every", "data.unmixed_steps"}
    scaled = scale_to_batch(written, typed)
    assert scaled.train.steps == 360_000
    assert scaled.train.evaluate_every == written.train.evaluate_every
    assert scaled.data.unmixed_steps == 9000


def falling(steps):
    return optax.sgd(0.1)


def test_the_learning_rate_of_an_optimizer_of_the_users_stays():
    config = dataclasses.replace(recipe(4), optimizer=falling)
    scaled = scale_to_batch(config)
    assert scaled.optimizer is falling
    assert scaled.train.steps == 360_000


def test_what_is_rescaled_is_said_with_both_values():
    written = recipe(4)
    assert scaled_line(written, scale_to_batch(written)) == (
        "batches of 4, the settings are for 16: 360000 steps in place of 90000, "
        f"evaluation every {4 * written.train.evaluate_every} in place of "
        f"{written.train.evaluate_every}, 36000 unmixed steps in place of 9000, "
        "learning rate 0.005 in place of 0.02; --train.reference-batch-size None "
        "takes them as they are given"
    )
