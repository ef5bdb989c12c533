"""Weights that a run starts from: those of another run, or of a backbone's file."""

import dataclasses
import logging
from pathlib import Path

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.training.config import Config
from fpn_jax.training.run import load_run
from fpn_jax.training.state import TrainState, with_variables
from fpn_jax.weights.convert import load_state_dict
from fpn_jax.weights.torchvision import load_backbone

_log = logging.getLogger(__name__)


def with_pretrained(state: TrainState, config: Config) -> TrainState:
    """Returns the state with the weights that `train.pretrained` names, if it does.

    Of a run all variables are taken whose names and shapes the new model shares; the
    others (the class layers, for other classes) stay random and are logged. A run of
    what is a submodule of the new model, such as its proposals, gives that its weights.

    Raises ValueError where the path is neither, or a run shares nothing.
    """
    path = config.train.pretrained
    if path is None:
        return state
    if not Path(path).is_dir():
        backbone = load_backbone(load_state_dict(path), config.model.backbone)
        return with_variables(
            state, {name: {"backbone": tree} for name, tree in backbone.items()}
        )
    run = load_run(path)
    found = run.variables
    if name := _submodule(config.model, run.config.model):
        found = {collection: {name: tree} for collection, tree in found.items()}
    found = flatten_dict(found, sep="/")
    wanted = flatten_dict(
        {"params": state.params, "batch_stats": state.batch_stats}, sep="/"
    )
    shared = {
        name: leaf
        for name, leaf in found.items()
        if name in wanted and wanted[name].shape == leaf.shape
    }
    if not shared:
        raise ValueError(f"train.pretrained: {path!r} has no weights of this model")
    if fresh := sorted(wanted.keys() - shared.keys()):
        _log.warning(
            "%s has no weights for %d of %d variables, such as %s; they stay random",
            *(path, len(fresh), len(wanted), fresh[0]),
        )
    return with_variables(state, unflatten_dict(shared, sep="/"))


def _submodule(model: nn.Module, other: nn.Module) -> str | None:
    """Returns the name of the submodule that equals `other`, if one does."""
    names = (field.name for field in dataclasses.fields(model) if field.init)
    found = (
        name
        for name in names
        if name != "parent" and getattr(model, name, None) == other
    )
    return next(found, None)
