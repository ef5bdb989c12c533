"""A run directory, opened for use: a model, its weights, its categories."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.choices import check_choice
from fpn_jax.data.example import Category
from fpn_jax.detectors.contract import is_detector
from fpn_jax.training.categories import Skeleton, load_categories, write_categories
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import Config
from fpn_jax.training.config_file import load_config, read_tree, write_config
from fpn_jax.training.state import TrainState, abstract_variables, collections_of
from fpn_jax.training.step import data_mesh, shardings


class Run(NamedTuple):
    """A model with its weights and categories, read from a run directory."""

    config: Config
    variables: dict  # for `config.model.apply`
    step: int
    categories: tuple[Category, ...]  # by label
    skeleton: Skeleton = ()  # keypoints to draw lines between


def load_run(
    run: str | Path,
    checkpoint: str = "best",
    *,
    experiment: str | Path | None = None,
    trust: bool = False,
) -> Run:
    """Returns the model of a run directory with its weights.

    An optimizer of the user's own is not read: in `config`, the default stands for it.

    Args:
        run: directory written by training or by a conversion.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
        experiment: file that defines the classes of the run outside of this package.
        trust: take them from the copy that the run keeps.
    """
    config = load_config(run, experiment=experiment, trust=trust, optimizer=False)
    checkpoints, step = _opened(run, checkpoint, best=config.evaluation.best)
    like = abstract_variables(config.model, config.data.canvas)
    averaged = config.train.ema_decay is not None
    loaded = _restored(checkpoints, {"ema": like} if averaged else like, step)
    variables = loaded["ema"] if averaged else loaded
    return Run(config, variables, step, *load_categories(run))


def load_variables(run: str | Path, checkpoint: str = "best") -> dict[str, Any]:
    """Returns the variables of a run directory, whatever its model is.

    No class of the model is imported, so that this needs no consent.
    """
    checkpoints, step = _opened(run, checkpoint, best=_best_of(run))
    loaded = _restored(checkpoints, checkpoints.variable_shapes(step), step)
    return loaded.get("ema", loaded)


def load_shapes(run: str | Path, checkpoint: str = "best") -> dict[str, Any]:
    """Returns the shapes of what `load_variables` gives; reads no array."""
    checkpoints, step = _opened(run, checkpoint, best=_best_of(run))
    shapes = checkpoints.variable_shapes(step)
    checkpoints.close()
    return shapes.get("ema", shapes)


def _best_of(run: str | Path) -> str:
    """Returns the metric that decides which checkpoint of a run is its best."""
    try:
        return read_tree(run)["evaluation"]["best"]
    except (LookupError, TypeError) as error:
        raise ValueError(f"{Path(run) / 'config.json'}: no {error}") from None


def _opened(run: str | Path, checkpoint: str, *, best: str) -> tuple[Checkpoints, int]:
    """Returns the checkpoints of a run and the step of the one that is meant."""
    if not (Path(run) / "checkpoints").is_dir():  # reading makes no directory
        raise ValueError(f"run: no checkpoints in {str(run)!r}")
    checkpoints = Checkpoints(run, best=best)
    if checkpoints.latest_step is None:
        raise ValueError(f"run: no complete checkpoint in {str(run)!r}")
    names = {"best": checkpoints.best_step, "latest": checkpoints.latest_step}
    names |= {str(step): step for step in checkpoints.steps}
    check_choice("checkpoint", checkpoint, names)
    return checkpoints, names[checkpoint]


def _restored(checkpoints: Checkpoints, like: dict, step: int) -> dict[str, Any]:
    """Reads the arrays that `like` describes from a checkpoint, onto every device."""
    copied, _ = shardings(data_mesh())
    placed = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=copied), like
    )
    loaded = checkpoints.restore_variables(placed, step)
    checkpoints.close()
    return loaded


def check_detects(model: nn.Module, run: str | Path) -> None:
    """Raises ValueError where a run's model is the backbone of a classifier alone."""
    if not is_detector(model):
        raise ValueError(
            f"run: {str(run)!r} holds a backbone, which detects nothing; train a "
            f"detector from it by --train.pretrained {run}"
        )


def check_is_new(run: str | Path) -> None:
    """Raises ValueError where a directory holds a run."""
    if (Path(run) / "config.json").exists():
        raise ValueError(f"run: {str(run)!r} holds a run; give another directory")


def save_run(run: str | Path, loaded: Run) -> None:
    """Writes a run directory of weights that no training here has made.

    It has no state of an optimizer: training can start from it, but not continue it.

    Raises ValueError where the directory holds a run.
    """
    check_is_new(run)
    write_config(loaded.config, run)
    write_categories(loaded.categories, loaded.skeleton, run)
    state = TrainState(
        step=jnp.int32(loaded.step),
        params=loaded.variables["params"],
        collections=collections_of(loaded.variables),
        opt_state=(),
        key=jax.random.key(0),
        ema=None,
    )
    copied, _ = shardings(data_mesh())
    checkpoints = Checkpoints(run, best=loaded.config.evaluation.best, writes=True)
    checkpoints.save(jax.device_put(state, copied), None)
    checkpoints.close()
