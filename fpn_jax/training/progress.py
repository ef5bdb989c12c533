"""What a run prints: a live bar in a terminal, plain lines elsewhere."""

import math
import time

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


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
        self._step, self._time = first_step, time.monotonic()
        self._seconds, self._timed_steps = 0.0, 0  # without evaluation and saving

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        return self

    def __exit__(self, *exception) -> None:
        self._bar.stop()

    def step(self, step: int, losses: dict[str, float]) -> float:
        """Shows the losses at a step; returns images per second since the last call.

        NaN where no step was timed since `restart`.
        """
        seconds, steps = time.monotonic() - self._time, step - self._step
        rate = steps * self._batch_size / max(seconds, 1e-9) if steps else math.nan
        self._seconds += seconds
        self._timed_steps += steps
        self.restart(step)
        shown = {k.removeprefix("loss/"): v for k, v in losses.items() if "loss" in k}
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        text = f"{numbers}  {rate:.1f} images/s" if steps else numbers
        self._bar.update(self._task, completed=step, description=text)
        if not self._console.is_terminal:
            per_step = self._seconds / max(self._timed_steps, 1)
            left = _clock((self._steps - step) * per_step)
            self.say(f"step {step}/{self._steps}  {text}  {left} left")
        return rate

    def restart(self, step: int) -> None:
        """Leaves what was done until now out of the rate."""
        self._step, self._time = step, time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Prints the table of average recall and precision at a step."""
        self._console.print(metrics_table(metrics, title=f"validation at step {step}"))


def metrics_table(metrics: dict[str, float], *, title: str) -> Table:
    """Returns AR and AP by object size as a table, the validation loss below it."""
    loss = metrics.get("loss")
    table = Table(
        title=title,
        title_justify="left",
        caption=None if loss is None else f"loss {loss:.4f}",
        caption_justify="left",
    )
    for name in ("", "all", "small", "medium", "large"):
        table.add_column(name, justify="right")
    rows = {
        "AR@100": [f"AR{size}@100" for size in ("", "s", "m", "l")],
        "AR@1000": [f"AR{size}@1000" for size in ("", "s", "m", "l")],
        "AP": ["AP", "APs", "APm", "APl"],
    }
    for name, keys in rows.items():
        table.add_row(name, *(_cell(metrics[key]) for key in keys))
    return table


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
