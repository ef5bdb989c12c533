"""Reasons for which a run ends before its last step."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from fpn_jax.training.config import Config

_HOUR = 3600  # seconds


class TimeLimit:
    """The hours of `train.hours`, counted from here; None is no limit."""

    def __init__(self, hours: float | None):
        self._hours = hours
        self._end = math.inf if hours is None else time.monotonic() + hours * _HOUR

    @property
    def line(self) -> str:
        """Why the run ends."""
        return f"train.hours is {self._hours}; the same command goes on"

    def is_over(self) -> bool:
        """Returns whether the time is up, for all processes as the first one has it.

        All of them must ask at the same step.
        """
        if self._hours is None:
            return False
        over = time.monotonic() >= self._end
        if jax.process_count() == 1:
            return over
        from jax.experimental import multihost_utils

        return bool(multihost_utils.broadcast_one_to_all(np.array(over)))


def out_of_patience(rows: Sequence[Mapping[str, Any]], config: Config) -> str | None:
    """Returns a line that says why a run ends; None where it does not.

    It ends after `train.patience` evaluations without a better value of the metric that
    decides which checkpoint is best.

    Args:
        rows: of metrics.jsonl, up to now.
        config: of the run.
    """
    name, patience = config.evaluation.best, config.train.patience
    if patience is None:
        return None
    column = "validation/loss" if name == "loss" else name
    sign = -1 if name == "loss" else 1
    found = [(row["step"], row[column]) for row in rows if column in row]
    best, value, waited = None, -math.inf, 0
    for step, number in found:
        number = -math.inf if number is None else sign * number
        if best is None or number > value:
            best, value, waited = step, number, 0
        else:
            waited += 1
    if waited < patience:
        return None
    return (
        f"train.patience is {patience}: {name} has not been better than "
        f"{sign * value:.3f} at step {best} in {waited} evaluations"
    )
