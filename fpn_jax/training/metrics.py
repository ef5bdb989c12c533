"""Numbers of a run: metrics.jsonl, results.csv and loggers, written by process 0."""

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fpn_jax.loggers.contract import Ending, Logger, finite
from fpn_jax.loggers.tensorboard import TensorBoard
from fpn_jax.training.ending import Stopped
from fpn_jax.training.whole_files import replace_text


class MetricWriter:
    """Appends rows of numbers to a run directory, and passes them on to loggers.

    Close it to flush these.
    """

    def __init__(
        self, run: str | Path, *, first_step: int = 0, loggers: Sequence[Logger] = ()
    ):
        """Drops the rows after `first_step`: a resumed run will write them again.

        TensorBoard's events are always written; `loggers` get the same numbers.
        """
        self.rows = [row for row in read_metrics(run) if row["step"] <= first_step]
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        self._path = Path(run) / "metrics.jsonl"
        replace_text(self._path, "".join(map(_line, self.rows)))
        self._loggers = [TensorBoard(Path(run), first_step), *loggers]

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Writes one row; a number that does not exist (NaN) is null in the file."""
        self.rows.append({"step": step, **numbers})
        if not self._writes:
            return
        with self._path.open("a") as file:
            file.write(_line(self.rows[-1]))
        for logger in self._loggers:
            logger.numbers(step, finite(numbers))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Passes a picture of a step on, RGB uint8 [H, W, 3]."""
        if self._writes:
            for logger in self._loggers:
                logger.picture(step, name, image)

    def has(self, step: int, name: str) -> bool:
        """Returns whether a number of a step has been written."""
        return any(row["step"] == step and name in row for row in self.rows)

    def close(self, ending: Ending = "finished") -> None:
        with ExitStack() as stack:  # each is closed, even where another one fails
            for logger in self._loggers if self._writes else ():
                stack.callback(logger.close, ending)


@contextmanager
def closing(writer: MetricWriter) -> Iterator[None]:
    """Closes the writer at the end, and tells its loggers how the run ended."""
    try:
        yield
    except Stopped:
        writer.close("stopped")
        raise
    except BaseException:
        writer.close("failed")
        raise
    writer.close()


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """Returns the rows of a run, in the order written; none where there is no file.

    A last line cut short by a kill is left out.
    """
    path = Path(run) / "metrics.jsonl"
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def write_table(run: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `results.csv`: a line for each step with all its numbers.

    Columns come in the order in which they first appear; what a step has not is empty.
    """
    steps: dict[int, dict[str, Any]] = {}
    for row in rows:
        steps.setdefault(row["step"], {}).update(row)
    text = io.StringIO()
    columns = dict.fromkeys(name for row in steps.values() for name in row)
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps.values())
    replace_text(run / "results.csv", text.getvalue())


def _line(row: dict[str, Any]) -> str:
    existing = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(existing) + "\n"
