"""Experiment files: Python with `get_config() -> Config`."""

import runpy
import sys
from pathlib import Path

from fpn_jax.training.config import Config


def load_experiment(path: str | Path) -> Config:
    """Returns the config that an experiment file makes."""
    if not Path(path).is_file():
        raise ValueError(f"experiment: no file {str(path)!r}")
    sys.path.insert(0, str(Path(path).resolve().parent))  # modules beside it
    try:
        names = runpy.run_path(str(path), run_name="experiment")
        make = names.get("get_config")
        config = None if make is None else make()
    except Exception as error:
        kind = type(error).__name__
        raise ValueError(f"experiment: {str(path)!r}: {kind}: {error}") from error
    finally:
        sys.path.pop(0)
    if make is None:
        raise ValueError(f"experiment: {str(path)!r} has no function get_config()")
    if not isinstance(config, Config):
        raise ValueError(
            f"experiment: get_config() of {str(path)!r} must return a Config, "
            f"got {type(config).__name__}"
        )
    return config


def new_run_directory(experiment: str | Path | None) -> Path:
    """Returns a directory that does not exist yet: runs/NAME-1, runs/NAME-2 …"""
    name = Path(experiment).stem if experiment else "digits"
    number = 1
    while (run := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return run
