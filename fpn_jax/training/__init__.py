"""From a config to a run directory: settings, step, loop, checkpoints.

- A `Config` is every setting of a run: the detector itself, and `DataConfig`,
  `OptimizerConfig`, `TrainConfig`, `EvaluationConfig`. All are frozen dataclasses; an
  experiment is a Python file with `get_config() -> Config` (`load_experiment`).
  Importing them needs the core dependencies only.
- `train(config, run)` trains in a run directory, or goes on there, and returns the last
  validation metrics. It raises `Stopped` after a signal, `NonFiniteLoss` for a loss
  that is no number.
- A run with modules of the user's own keeps the experiment file and the modules beside
  it. Reading it needs consent: `experiment=`, the file again, or `trust=True` for the
  copy in the run (`load_run`, `load_config`, `fpn_jax.load`).
- The step is `train_step(state, batch, …)`, a pure function on a `TrainState`;
  `jit_step` and `pmap_step` compile it for all devices.
- A run directory holds the config, the categories, checkpoints, metrics and plots.
  `load_run` reads one for use, a `Run`; `save_run` writes one of weights that come from
  elsewhere.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.training.checkpoint import CheckpointError, Checkpoints
    from fpn_jax.training.config import (
        Config,
        DataConfig,
        EvaluationConfig,
        OptimizerConfig,
        TrainConfig,
    )
    from fpn_jax.training.config_file import load_config
    from fpn_jax.training.ending import Stopped
    from fpn_jax.training.experiment import load_experiment
    from fpn_jax.training.loop import train
    from fpn_jax.training.metrics import read_metrics
    from fpn_jax.training.optimizer import learning_rate_schedule, make_optimizer
    from fpn_jax.training.run import Run, load_run, save_run
    from fpn_jax.training.state import TrainState, create_state, inference_variables
    from fpn_jax.training.step import jit_step, pmap_step, train_step
    from fpn_jax.training.step_numbers import NonFiniteLoss

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "NonFiniteLoss",
    "OptimizerConfig",
    "Run",
    "Stopped",
    "TrainConfig",
    "TrainState",
    "create_state",
    "inference_variables",
    "jit_step",
    "learning_rate_schedule",
    "load_config",
    "load_experiment",
    "load_run",
    "make_optimizer",
    "pmap_step",
    "read_metrics",
    "save_run",
    "train",
    "train_step",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.training.checkpoint": ("CheckpointError", "Checkpoints"),
        "fpn_jax.training.config": (
            "Config",
            "DataConfig",
            "EvaluationConfig",
            "OptimizerConfig",
            "TrainConfig",
        ),
        "fpn_jax.training.config_file": ("load_config",),
        "fpn_jax.training.experiment": ("load_experiment",),
        "fpn_jax.training.ending": ("Stopped",),
        "fpn_jax.training.loop": ("train",),
        "fpn_jax.training.step_numbers": ("NonFiniteLoss",),
        "fpn_jax.training.metrics": ("read_metrics",),
        "fpn_jax.training.optimizer": ("learning_rate_schedule", "make_optimizer"),
        "fpn_jax.training.run": ("Run", "load_run", "save_run"),
        "fpn_jax.training.state": ("TrainState", "create_state", "inference_variables"),
        "fpn_jax.training.step": ("jit_step", "pmap_step", "train_step"),
    },
)
