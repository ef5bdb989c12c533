"""Numbers of a run: metrics.jsonl and TensorBoard events, written by process 0."""

import json
import math
from pathlib import Path
from typing import Any

import jax
from tensorboardX import SummaryWriter

from fpn_jax.training.whole_files import replace_text


class MetricWriter:
    """Appends rows of numbers to a run directory; close it to flush the events."""

    def __init__(self, run: str | Path, *, first_step: int = 0):
        """Drops the rows after `first_step`: a resumed run will write them again."""
        self._rows = [row for row in read_metrics(run) if row["step"] <= first_step]
        self._writes = jax.process_index() == 0
        if not self._writes:
            return
        self._path = Path(run) / "metrics.jsonl"
        replace_text(self._path, "".join(map(_line, self._rows)))
        self._events = SummaryWriter(
            str(Path(run) / "events"), purge_step=first_step + 1, write_to_disk=True
        )

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Writes one row; a number that does not exist (NaN) is null in the file."""
        if not self._writes:
            return
        with self._path.open("a") as file:
            file.write(_line({"step": step, **numbers}))
        for name, value in numbers.items():
            if math.isfinite(value):
                self._events.add_scalar(name, value, step)

    def has(self, step: int, name: str) -> bool:
        """Returns whether a number of a step was written before this resumption."""
        return any(row["step"] == step and name in row for row in self._rows)

    def close(self) -> None:
        if self._writes:
            self._events.close()


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


def _line(row: dict[str, Any]) -> str:
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(finite) + "\n"
