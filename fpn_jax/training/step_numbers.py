"""Losses and other numbers of the steps, on the device until they are due."""

import math
from collections.abc import Sequence

import jax
import numpy as np


class NonFiniteLoss(ArithmeticError):
    """A loss that is NaN or infinite; the message names the step and the term."""


class NumberRecorder:
    """Numbers of the steps since the last flush, on the device until then.

    More than `max_skipped` steps in a row that are not finite are an error.
    """

    def __init__(self, max_skipped: int):
        self._pending: list[tuple[int, int, dict[str, jax.Array]]] = []
        self._max_skipped = max_skipped
        self._in_a_row = 0

    def add(self, step: int, taken: Sequence[tuple[int, dict[str, jax.Array]]]) -> None:
        """Keeps the numbers of consecutive steps; `step` is the first."""
        for count, numbers in taken:
            self._pending.append((step, count, numbers))
            step += count

    def flush(self) -> dict[str, float]:
        """Returns mean losses, learning rate, skipped steps; waits for the device."""
        rows = [row for each in jax.device_get(self._pending) for row in _rows(*each)]
        self._pending.clear()
        finite = []
        for step, numbers in rows:
            if name := _not_finite(numbers):
                self._in_a_row += 1
                if self._in_a_row > self._max_skipped:
                    skipped = f", after {self._max_skipped} that were skipped"
                    raise NonFiniteLoss(
                        f"{name} is {numbers[name]} at step {step}"
                        + skipped * bool(self._max_skipped)
                    )
            else:
                self._in_a_row = 0
                finite.append(numbers)
        names = finite[0] if finite else ()
        row = {name: float(np.mean([each[name] for each in finite])) for name in names}
        if (rate := rows[-1][1].get("learning_rate")) is not None:
            row["learning_rate"] = float(rate)  # the last one, also of a skipped step
        if self._max_skipped:
            row["skipped"] = len(rows) - len(finite)
        return row


def _rows(step: int, count: int, numbers: dict) -> list[tuple[int, dict]]:
    """Returns the numbers of each step; several steps are stacked."""
    if count == 1:
        return [(step, numbers)]
    return [
        (step + i, {name: values[i] for name, values in numbers.items()})
        for i in range(count)
    ]


def _not_finite(numbers: dict[str, float]) -> str | None:
    """The first that is not: a term of the loss, the loss, the gradient's norm."""
    names = sorted(numbers, reverse=True)
    return next((name for name in names if not math.isfinite(numbers[name])), None)
