"""MLflow's tracking, for `--train.loggers mlflow` (extra `mlflow`).

Its own environment variables choose the rest: MLFLOW_TRACKING_URI (by default a
database in the working directory) and MLFLOW_EXPERIMENT_NAME (by default fpn_jax).
"""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from fpn_jax.loggers.contract import Ending, Opened

_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
# MLflow would try for a quarter of an hour, and the training would wait.
_SHORT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
}
_AT_ONCE = 100  # parameters of one call, by MLflow's limit
_LONGEST = 6000  # characters of a parameter, by MLflow's limit


class MLflow:
    """A run of MLflow."""

    def __init__(self, client: MlflowClient, run: str):
        self._client, self._run = client, run

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(_name(key), x, now, step) for key, x in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        self._client.log_image(self._run, image, key=name, step=step)

    def close(self, ending: Ending) -> None:
        self._client.set_terminated(self._run, status=_STATUS[ending])


def open_mlflow(run: Path, settings: Mapping[str, Any], known: str | None) -> Opened:
    """Opens a run of MLflow, or goes on with one.

    Settings are parameters of the run, as they were when it was first opened.

    Raises ValueError, one line, where the server cannot be reached.
    """
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "fpn_jax")
    for name, value in _SHORT.items():
        os.environ.setdefault(name, value)
    try:
        client = MlflowClient()
        if known is not None:
            client.update_run(known, status="RUNNING")
            return Opened(MLflow(client, known), known)
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        made = client.create_run(number, run_name=run.name).info.run_id
        params = [Param(_name(k), str(x)[:_LONGEST]) for k, x in settings.items()]
        for start in range(0, len(params), _AT_ONCE):
            client.log_batch(made, params=params[start : start + _AT_ONCE])
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"train.loggers: mlflow: {reason}") from error
    return Opened(MLflow(client, made), made)


def _name(key: str) -> str:
    """Returns a name that MLflow takes: it has no @ and no brackets."""
    return re.sub(r"[^\w\-. :/]", "_", key)
