"""What a run prints: a live bar in a terminal, plain lines elsewhere."""

import contextlib
import math
import time
from collections.abc import Iterator

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fpn_jax.evaluation.tables import metrics_table

_MUCH_WAITING = 0.05  # of the time: more is worth a word


class ProgressDisplay:
    """Shows losses, images per second and time left; only on the first process."""

    def __init__(self, steps: int, *, first_step: int, batch_size: int):
        self._steps, self._batch_size = steps, batch_size
        self._console = Console(quiet=jax.process_index() != 0, highlight=False)
        self._bar = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps, completed=first_step)
        self.restart(first_step)
        self._seconds, self._timed_steps = 0.0, 0  # without evaluation and saving

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as spent waiting for data.

        A device may go on computing meanwhile, so this is an upper bound of the loss.
        """
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    def step(self, step: int, losses: dict[str, float]) -> dict[str, float]:
        """Shows the losses at a step; returns the rate since the last call.

        That is `images_per_second` and `waiting_for_data`, a share of the time; NaN
        where no step was timed since `restart`.
        """
        seconds, steps = time.monotonic() - self._time, step - self._step
        rate = steps * self._batch_size / max(seconds, 1e-9) if steps else math.nan
        waiting = self._waited / max(seconds, 1e-9) if steps else math.nan
        self._seconds += seconds
        self._timed_steps += steps
        self.restart(step)
        shown = {k.removeprefix("loss/"): v for k, v in losses.items() if "loss" in k}
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        text = f"{numbers}  {rate:.1f} images/s" if steps else numbers
        if waiting > _MUCH_WAITING:
            text += f", {waiting:.0%} waiting for data"
        self._bar.update(self._task, completed=step, description=text)
        if not self._console.is_terminal:
            per_step = self._seconds / max(self._timed_steps, 1)
            left = _clock((self._steps - step) * per_step)
            self.say(f"step {step}/{self._steps}  {text}  {left} left")
        return {"images_per_second": rate, "waiting_for_data": waiting}

    def restart(self, step: int) -> None:
        """Leaves what was done until now out of the rate."""
        self._step, self._time, self._waited = step, time.monotonic(), 0.0

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Prints the table of average recall and precision at a step."""
        self._console.print(metrics_table(metrics, title=f"validation at step {step}"))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
