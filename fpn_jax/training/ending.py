"""Reasons for which a run ends before its last step."""

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import Any

import jax
import numpy as np

from fpn_jax.training.config import Config

_HOUR = 3600  # seconds


class Stopped(Exception):
    """A run that Ctrl-C or SIGTERM ended after a save; `signal` is which."""

    def __init__(self, step: int, signal: Signals):
        super().__init__(f"stopped by {signal.name} at step {step}, saved")
        self.signal = signal


class TimeLimit:
    """The hours of `train.hours`, counted from its creation; None is no limit."""

    def __init__(self, hours: float | None):
        self._hours = hours
        self._end = math.inf if hours is None else time.monotonic() + hours * _HOUR

    def line(self, run: Path) -> str:
        """Says why a run ends, and how it goes on."""
        return (
            f"train.hours is {self._hours}; "
            f"the same command with --workdir {shlex.quote(str(run))} goes on"
        )

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


def is_due(step: int, config: Config) -> bool:
    """Returns whether there is an evaluation after a step."""
    period = config.train
    return step == period.steps or step % period.evaluate_every == 0


def out_of_patience(rows: Sequence[Mapping[str, Any]], config: Config) -> str | None:
    """Returns a line that says why a run ends; None where it does not.

    It ends after `train.patience` evaluations without a better value of the metric that
    decides which checkpoint is best. An evaluation that a time limit brought on does
    not count: the run would end earlier than one that never stopped.

    Args:
        rows: of metrics.jsonl, up to now.
        config: of the run.
    """
    name, patience = config.evaluation.best, config.train.patience
    if patience is None:
        return None
    column = "validation/loss" if name == "loss" else name
    sign = -1 if name == "loss" else 1
    found = [
        (row["step"], row[column])
        for row in rows
        if column in row and is_due(row["step"], config)
    ]
    best, value, waited = None, -math.inf, 0
    for step, number in found:
        if number is None or math.isnan(number):
            number = -math.inf * sign
        number *= sign
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
