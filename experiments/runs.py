"""What experiments of many runs share: each is trained once, and read when done."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import jax

from fpn_jax.command_line import user_errors
from fpn_jax.train import NOT_FINITE
from fpn_jax.training.config import Config
from fpn_jax.training.config_file import load_config
from fpn_jax.training.loop import NonFiniteLoss, Stopped, train
from fpn_jax.training.metrics import read_metrics


def train_once(config: Config, run: Path) -> None:
    """Trains a run, or goes on with it, unless it has its last validation.

    Raises ValueError where the directory holds a run with other settings, whose figures
    would be taken for those of this one.
    """
    if (run / "config.json").exists() and load_config(run) != config:
        raise ValueError(f"out: {run} holds a run with other settings")
    last = last_validation(run)
    if last is None or last["step"] != config.train.steps:
        train(config, run)
        jax.clear_caches()  # the programs of a run take 1 GB


def last_validation(run: Path) -> dict[str, float] | None:
    """Returns the last row of metrics that is a validation of a saved step."""
    rows = [
        row
        for row in read_metrics(run)
        if "AP" in row and (run / "checkpoints" / str(row["step"])).is_dir()
    ]
    return rows[-1] if rows else None


@contextlib.contextmanager
def one_line_errors(name: str) -> Iterator[None]:
    """Ends the process as `python -m fpn_jax.train` does, where a run ends early."""
    try:
        with user_errors(name):
            yield
    except NonFiniteLoss as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise SystemExit(NOT_FINITE) from None
    except Stopped as stop:
        print(f"{stop}; the same command goes on from there", file=sys.stderr)
        raise SystemExit(128 + stop.signal) from None
