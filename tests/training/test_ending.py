"""When a run ends before its last step."""

import dataclasses

import pytest

from fpn_jax.training.config import Config, EvaluationConfig, TrainConfig
from fpn_jax.training.ending import TimeLimit, out_of_patience


def config(patience: int | None, best="AP") -> Config:
    train = TrainConfig(patience=patience, evaluate_every=10)
    return dataclasses.replace(
        Config(), train=train, evaluation=EvaluationConfig(best=best)
    )


def rows(*values, name="AP"):
    found = [{"step": 10 * n, name: value} for n, value in enumerate(values, start=1)]
    return [{"step": 5, "loss": 1.0}, *found]


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ((), False),
        ((0.5,), False),
        ((0.5, 0.4), False),
        ((0.5, 0.4, 0.5), True),  # as good is not better
        ((0.5, 0.4, 0.3), True),
        ((0.5, 0.4, 0.6), False),
        ((0.5, 0.4, 0.6, 0.1, 0.2), True),
        ((None, None), False),  # nothing to be found is the first value
        ((None, None, None), True),
        ((None, None, 0.1), False),
        ((float("nan"), 0.1, 0.5), False),
        ((0.5, float("nan"), float("nan")), True),
    ],
)
def test_two_evaluations_without_a_better_value_end_the_run(values, ends):
    assert (out_of_patience(rows(*values), config(2)) is not None) == ends


def test_an_evaluation_between_two_due_ones_does_not_count():
    between = [{"step": 15, "AP": 0.1}, {"step": 25, "AP": 0.1}]
    assert out_of_patience([*rows(0.5, 0.4), *between], config(2)) is None


def test_the_line_says_which_metric_and_since_when():
    assert out_of_patience(rows(0.25, 0.5, 0.4), config(1)) == (
        "train.patience is 1: AP has not been better than 0.500 at step 20 in 1 "
        "evaluations"
    )


def test_a_loss_is_better_where_it_is_lower():
    falling = rows(3.0, 2.0, 1.0, name="validation/loss")
    assert out_of_patience(falling, config(1, best="loss")) is None
    rising = rows(1.0, 2.0, name="validation/loss")
    line = out_of_patience(rising, config(1, best="loss"))
    assert line is not None and "loss has not been better than 1.000" in line


def test_without_patience_or_hours_nothing_ends():
    assert out_of_patience(rows(0.5, 0.4, 0.3), config(None)) is None
    assert not TimeLimit(None).is_over()


def test_hours_are_over_when_they_are():
    assert not TimeLimit(1.0).is_over()
    assert TimeLimit(1e-12).is_over()
