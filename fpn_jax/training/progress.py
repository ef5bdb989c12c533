"""The output of a run: a live line in a terminal, plain lines elsewhere.

Step, rate and time left come first, so that they are seen on 80 columns, and the losses
after them as far as there is room.
"""

import contextlib
import logging
import math
import sys
import time
from collections.abc import Iterator

import jax
from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Column

from fpn_jax.evaluation.tables import metrics_table

_MUCH_WAITING = 0.05  # of the time: more is worth a word


class ProgressDisplay:
    """Shows losses, images per second and time left; only on the first process."""

    def __init__(self, steps: int, *, first_step: int, batch_size: int, images: int):
        """`images` is how many the training data has: an epoch."""
        self._steps, self._batch_size, self._images = steps, batch_size, images
        self._console = Console(quiet=jax.process_index() != 0, highlight=False)
        self._bar = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("step {task.completed}/{task.total}  {task.fields[epoch]}"),
            # The only one that is cut where a terminal is narrow.
            TextColumn(
                "{task.description}",
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=self._console,
            disable=not self._console.is_terminal,
            expand=True,
        )
        self._task = self._bar.add_task(
            "", total=steps, completed=first_step, epoch=self._epoch(first_step)
        )
        self.restart(first_step)
        self._seconds, self._timed_steps = 0.0, 0  # without evaluation and saving
        self._has_evaluated = False

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        # Warnings go above the live line, which else they would continue.
        self._moved = [
            (handler, handler.setStream(sys.stderr))
            for handler in logging.getLogger().handlers
            if type(handler) is logging.StreamHandler and self._console.is_terminal
        ]
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()
        for handler, stream in self._moved:
            handler.setStream(stream)

    @property
    def live(self) -> RenderableType:
        """The line that a terminal shows."""
        return self._bar.get_renderable()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as spent waiting for data.

        A device may go on computing meanwhile, so this is an upper bound of the loss.
        """
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    def compiling(self, program: str) -> None:
        """Says that a program is compiled now, which takes seconds or minutes."""
        self.doing(f"compiling {program}")
        if not self._console.is_terminal:
            self.say(f"compiling {program}")

    def evaluating(self) -> None:
        """Says that an evaluation is under way, which compiles its program at first."""
        if self._has_evaluated:
            self.doing("evaluating")
        else:
            self.compiling("the evaluation")
        self._has_evaluated = True

    def doing(self, text: str) -> None:
        """Shows in a terminal what takes time now, until the next losses."""
        self._bar.update(self._task, description=text)

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
        words = [f"{rate:.1f} images/s"] if steps else []
        if self._timed_steps:
            per_step = self._seconds / self._timed_steps
            words.append(f"{_clock((self._steps - step) * per_step)} left")
        if waiting > _MUCH_WAITING:
            words.append(f"{waiting:.0%} waiting for data")
        shown = {k.removeprefix("loss/"): v for k, v in losses.items() if "loss" in k}
        # The sum first: terms may be cut.
        names = sorted(shown, key=lambda name: name != "loss")
        words += [f"{name} {shown[name]:.4f}" for name in names]
        text = "  ".join(words)
        epoch = self._epoch(step)
        self._bar.update(self._task, completed=step, description=text, epoch=epoch)
        if not self._console.is_terminal:
            self.say(f"step {step}/{self._steps}  {epoch}  {text}")
        return {"images_per_second": rate, "waiting_for_data": waiting}

    def _epoch(self, step: int) -> str:
        """Returns which pass over the training data a step is in, and of how many."""
        now, last = (
            max(math.ceil(each * self._batch_size / self._images), 1)
            for each in (step, self._steps)
        )
        return f"epoch {now}/{last}"

    def restart(self, step: int) -> None:
        """Leaves what was done until now out of the rate."""
        self._step, self._time, self._waited = step, time.monotonic(), 0.0

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Prints the table of average recall and precision at a step."""
        self._console.print(metrics_table(metrics, title=f"validation at step {step}"))


def say_first(text: str) -> None:
    """Prints a line ahead of a run's display, on the first process."""
    Console(quiet=jax.process_index() != 0, highlight=False).print(
        text, soft_wrap=True, markup=False
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
