"""Which options give a model the shapes of a run's weights."""

import shlex
from typing import Any

import flax.linen as nn

from fpn_jax.training.config_file import read_tree
from fpn_jax.training.encoding import encode

# Fields that do not change the shapes of what is taken over.
_NO_SHAPES = {"num_classes", "dtype", "axis_name", "remat", "frozen_stages"}


def fitting_options(run: str, model: nn.Module) -> str:
    """Says by which options `model` would be like the model of a run.

    Nothing of the run is imported. Where the classes of modules differ no option is
    enough, and the model itself is to be taken from the run.
    """
    theirs = read_tree(run).get("model")
    options = _options(encode(model), theirs, "--model")
    if options is None:
        return (
            "; its modules are of other classes: give an experiment with "
            f"model=load_config({run!r}).model, of fpn_jax.training"
        )
    if not options:
        return ""
    return (
        f"; what would fit: {' '.join(options)} --train.pretrained {shlex.quote(run)}"
    )


def _options(ours: Any, theirs: Any, path: str) -> list[str] | None:
    """Returns the options for all that differs; None where a class does."""
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return [] if ours == theirs else [f"{path} {_word(theirs)}"]
    if ours.get("class") != theirs.get("class"):
        return None
    found = []
    for name in ours.keys() & theirs.keys() - _NO_SHAPES:
        below = _options(ours[name], theirs[name], f"{path}.{name.replace('_', '-')}")
        if below is None:
            return None
        found += below
    return sorted(found)


def _word(value: Any) -> str:
    """Returns a value as the command line takes it."""
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return str(value)
