"""Places outside a run's own files that its numbers and pictures go to as well.

- A `Logger` takes the numbers of a step and a picture of a step, and is closed at the
  end. `TensorBoard` writes event files and is always there.
- Weights & Biases and MLflow are asked for by `--train.loggers`, a `LoggerName` each.
  `opener` gives what opens one; a run that goes on is the same run there.
- `patient` makes a logger that stops with a warning where it fails: a server that
  cannot be reached must not end a training.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.loggers.contract import Logger, LoggerName, Opened, opener, patient
    from fpn_jax.loggers.tensorboard import TensorBoard

__all__ = ["Logger", "LoggerName", "Opened", "TensorBoard", "opener", "patient"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.loggers.contract": (
            "Logger",
            "LoggerName",
            "Opened",
            "opener",
            "patient",
        ),
        "fpn_jax.loggers.tensorboard": ("TensorBoard",),
    },
)
