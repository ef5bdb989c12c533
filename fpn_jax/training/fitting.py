"""Finds the options that give a model the shapes of a run's weights."""

import shlex
from typing import Any

import flax.linen as nn

from fpn_jax.training.config_file import read_tree
from fpn_jax.training.encoding import encode

# Fields that do not change the shapes of what is taken over.
_NO_SHAPES = {"num_classes", "dtype", "axis_name", "remat", "frozen_stages"}


def fitting_options(run: str, model: nn.Module) -> str:
    """Says by which options `model` would be like the model of a run.

    Nothing of the run is imported. Where the classes of modules differ, no option is
    enough: then the model itself must come from the run.
    """
    theirs = read_tree(run).get("model")
    options = _options(encode(model), theirs, "--model")
    if options is None:
        return (
            "; no options make it like the run's: give an experiment with "
            f"model=load_config({run!r}).model, of fpn_jax.training"
        )
    if not options:
        return ""
    return (
        f"; what would fit: {' '.join(options)} --train.pretrained {shlex.quote(run)}"
    )


def _options(ours: Any, theirs: Any, path: str) -> list[str] | None:
    """Returns the options for all that differs; None where no option can change it.

    That is a class, a part that one of both lacks, and how many tuples a tuple holds.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if ours.get("class") != theirs.get("class"):
            return None
        names = sorted(ours.keys() & theirs.keys() - _NO_SHAPES)
        pairs = [(ours[n], theirs[n], f"{path}.{n.replace('_', '-')}") for n in names]
    elif ours == theirs:
        return []
    elif _is_nested(ours) and _is_nested(theirs) and len(ours) == len(theirs):
        both = zip(ours, theirs, strict=True)
        pairs = [(*pair, f"{path}.{number}") for number, pair in enumerate(both)]
    elif any(isinstance(x, dict) or _is_nested(x) for x in (ours, theirs)):
        return None
    else:
        return [_option(path, theirs)]
    found = [_options(*pair) for pair in pairs]
    if any(options is None for options in found):
        return None
    return [option for options in found for option in options or ()]


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, list) for item in value)


def _option(path: str, value: Any) -> str:
    """Returns an option as the command line takes it."""
    if value is True:
        return path
    if value is False:
        place, _, name = path.rpartition(".")
        return f"{place}.no-{name}"
    return f"{path} {' '.join(map(str, value if isinstance(value, list) else [value]))}"
