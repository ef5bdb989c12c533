"""Weights & Biases, for `--train.loggers wandb` (extra `wandb`).

Its own environment variables choose the rest: WANDB_PROJECT (by default fpn_jax),
WANDB_ENTITY, WANDB_MODE=offline, which keeps everything in the run directory.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from fpn_jax.loggers.contract import Ending, Opened

_EXIT_CODES = {"finished": 0, "stopped": 255, "failed": 1}  # 255 is Ctrl-C there


class WeightsAndBiases:
    """A run of Weights & Biases."""

    def __init__(self, run: Any):
        self._run = run

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._run.log({name: wandb.Image(image)}, step=step)

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code=_EXIT_CODES[ending])


def open_wandb(run: Path, settings: Mapping[str, Any], known: str | None) -> Opened:
    """Opens a run of Weights & Biases, or goes on with one.

    Steps that it has already are the same numbers once more, and it leaves them out.

    Raises ValueError, one line, where it refuses, such as without an API key.
    """
    name = known or secrets.token_hex(4)
    try:
        started = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "fpn_jax"),
            name=run.name,
            dir=run,
            id=name,
            resume="allow",
            config=dict(settings),
            # Its own lines would break a run's live line.
            settings=wandb.Settings(silent=True, console="off"),
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"train.loggers: wandb: {reason}") from error
    return Opened(WeightsAndBiases(started), name)
