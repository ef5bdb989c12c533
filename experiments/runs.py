"""What experiments of many runs share: each is trained once, and read when done."""

from pathlib import Path

import jax

from fpn_jax.training.config import Config
from fpn_jax.training.loop import train
from fpn_jax.training.metrics import read_metrics


def train_once(config: Config, run: Path) -> None:
    """Trains a run, or goes on with it, unless it has its last validation."""
    last = last_validation(run)
    if last is None or last["step"] != config.train.steps:
        train(config, run)
        jax.clear_caches()  # the programs of a run take 1 GB


def last_validation(run: Path) -> dict[str, float] | None:
    """Returns the last row of metrics of a run that is a validation's."""
    rows = [row for row in read_metrics(run) if "AP" in row]
    return rows[-1] if rows else None
