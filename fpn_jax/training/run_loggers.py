"""Opens the loggers of a run, and finds them again when it goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpn_jax.loggers.contract import Logger, opener, patient
from fpn_jax.training.config import Config
from fpn_jax.training.encoding import encode
from fpn_jax.training.whole_files import replace_text

_FILE = "loggers.json"  # ids of the run at each logger


def open_loggers(config: Config, run: Path) -> list[Logger]:
    """Returns the loggers that `train.loggers` asks for.

    Their ids are kept in `loggers.json`, so that a run that goes on is the same run
    there. A logger that fails later on stops with a warning, and the run does not.

    Raises ValueError, one line, where one of them cannot be opened.
    """
    if not config.train.loggers:
        return []
    path = run / _FILE
    ids = json.loads(path.read_text()) if path.exists() else {}
    settings = dict(_flat(encode(config)))
    loggers: list[Logger] = []
    try:
        for name in config.train.loggers:
            opened = opener(name)(run.absolute(), settings, ids.get(name))
            loggers.append(patient(name, opened.logger))
            ids[name] = opened.id
            replace_text(path, json.dumps(ids, indent=2) + "\n")
    except Exception:
        for logger in loggers:
            logger.close("failed")
        raise
    return loggers


def _flat(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """Returns the values of a config in JSON by their dotted names, as options have."""
    if not isinstance(tree, Mapping):
        return [(path, tree)]
    return [
        pair
        for key, value in tree.items()
        for pair in _flat(value, f"{path}.{key}" if path else key)
    ]
