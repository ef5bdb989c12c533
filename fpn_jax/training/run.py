"""What a run directory holds for use: a model, its weights, its categories."""

from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.choices import check_choice
from fpn_jax.data.example import Category
from fpn_jax.training.categories import Skeleton, load_categories, write_categories
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import Config, load_config, write_config
from fpn_jax.training.state import TrainState, abstract_variables
from fpn_jax.training.step import data_mesh, shardings


class Run(NamedTuple):
    """What a run directory holds for use."""

    config: Config
    variables: dict  # for `config.model.apply`
    step: int
    categories: tuple[Category, ...]  # by label
    skeleton: Skeleton = ()  # keypoints to draw lines between


def load_run(run: str | Path, checkpoint: str = "best") -> Run:
    """Returns the model of a run directory with its weights.

    Args:
        run: directory written by training or by a conversion.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
    """
    config = load_config(run)
    if not (Path(run) / "checkpoints").is_dir():  # reading makes no directory
        raise ValueError(f"run: no checkpoints in {str(run)!r}")
    checkpoints = Checkpoints(run, best=config.evaluation.best)
    if checkpoints.latest_step is None:
        raise ValueError(f"run: no complete checkpoint in {str(run)!r}")
    names = {"best": checkpoints.best_step, "latest": checkpoints.latest_step}
    names |= {str(step): step for step in checkpoints.steps}
    check_choice("checkpoint", checkpoint, names)
    step = names[checkpoint]
    copied, _ = shardings(data_mesh())
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=copied),
        abstract_variables(config.model, config.data.canvas),
    )
    averaged = config.train.ema_decay is not None
    loaded = checkpoints.restore_variables({"ema": like} if averaged else like, step)
    checkpoints.close()
    variables = loaded["ema"] if averaged else loaded
    return Run(config, variables, step, *load_categories(run))


def check_detects(model: nn.Module, run: str | Path) -> None:
    """Raises ValueError where a run's model is the backbone of a classifier alone."""
    if not hasattr(model, "detect"):
        raise ValueError(
            f"run: {str(run)!r} holds a backbone, which detects nothing; train a "
            f"detector from it by --train.pretrained {run}"
        )


def save_run(run: str | Path, loaded: Run) -> None:
    """Writes a run directory of weights that no training here has made.

    It has no state of an optimizer: training can start from it, but not continue it.

    Raises ValueError where the directory holds a run.
    """
    if (Path(run) / "config.json").exists():
        raise ValueError(f"run: {str(run)!r} holds a run; give another directory")
    write_config(loaded.config, run)
    write_categories(loaded.categories, loaded.skeleton, run)
    state = TrainState(
        step=jnp.int32(loaded.step),
        params=loaded.variables["params"],
        batch_stats=loaded.variables.get("batch_stats", {}),
        opt_state=(),
        key=jax.random.key(0),
        ema=None,
    )
    copied, _ = shardings(data_mesh())
    checkpoints = Checkpoints(run, best=loaded.config.evaluation.best, writes=True)
    checkpoints.save(jax.device_put(state, copied), None)
    checkpoints.close()
