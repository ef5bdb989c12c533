"""The interface of a logger, and the names of those in the package."""

import logging
import math
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

LoggerName = Literal["wandb", "mlflow"]
Ending = Literal["finished", "stopped", "failed"]
"""How a run ended: at its end, by a signal after a save, or by an error."""

_log = logging.getLogger(__name__)
_OPENERS = {  # files, which import the packages, and functions in them
    "wandb": ("fpn_jax.loggers.weights_and_biases", "open_wandb"),
    "mlflow": ("fpn_jax.loggers.mlflow_tracking", "open_mlflow"),
}


class Logger(Protocol):
    """A destination of a run's numbers and pictures, besides its own files."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Takes numbers of a step, all of them finite."""
        ...

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Takes a picture of a step, RGB uint8 [H, W, 3]."""
        ...

    def close(self, ending: Ending) -> None:
        """Sends what has not been sent, and says how the run ended."""
        ...


class Opened(NamedTuple):
    """A logger, and the id by which it goes on with the same run."""

    logger: Logger
    id: str


Open = Callable[[Path, Mapping[str, Any], str | None], Opened]
"""Opens a logger for a run directory, its settings, and the id of an earlier start."""


def check_installed(names: tuple[LoggerName, ...]) -> None:
    """Raises ValueError for a logger whose package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise ValueError(
                f"train.loggers: {name} is not installed: pip install 'fpn-jax[{name}]'"
            )


def opener(name: LoggerName) -> Open:
    """Returns the function that opens a logger; its package is imported now."""
    file, function = _OPENERS[name]
    return getattr(import_module(file), function)


def patient(name: str, logger: Logger) -> Logger:
    """Returns the logger, which stops with a warning where it fails.

    A server that cannot be reached must not end a training.
    """
    return _Patient(name, logger)


class _Patient:
    def __init__(self, name: str, logger: Logger):
        self._name, self._logger = name, logger
        self._works = True

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        self._try(lambda: self._logger.numbers(step, values))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._try(lambda: self._logger.picture(step, name, image))

    def close(self, ending: Ending) -> None:
        self._try(lambda: self._logger.close(ending))

    def _try(self, send: Callable[[], None]) -> None:
        if not self._works:
            return
        try:
            send()
        except Exception as error:
            self._works = False
            reason = str(error).strip().partition("\n")[0][:200]
            _log.warning(
                "%s gets nothing more of this run, which goes on: %s",
                self._name,
                reason or type(error).__name__,
            )


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Returns the numbers that exist."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
