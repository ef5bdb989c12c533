"""Weights that a run starts from: another run's, or a backbone's from its file."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import parts
from fpn_jax.training.config import Config
from fpn_jax.training.fitting import fitting_options
from fpn_jax.training.published import is_published, pretrained_place
from fpn_jax.training.run import load_shapes, load_variables
from fpn_jax.training.state import TrainState, abstract_variables, with_variables
from fpn_jax.weights.state_dicts import is_address, load_state_dict
from fpn_jax.weights.torchvision import backbone_from_torchvision

_log = logging.getLogger(__name__)


def check_pretrained(config: Config) -> None:
    """Raises ValueError where a path of `train.pretrained` leads to nothing that fits.

    Runs are known by the shapes in their checkpoints; files are read. Names of
    published models pass: see `check_published`.
    """
    for path in config.train.pretrained:
        if not is_published(path):
            _check_place(path, config)


def check_published(config: Config) -> None:
    """Raises ValueError where a published model of `train.pretrained` does not fit.

    The weights are downloaded, which is for the time when all else has been checked.
    """
    for path in filter(is_published, config.train.pretrained):
        _check_place(pretrained_place(path), config)


def _check_place(path: str, config: Config) -> None:
    if not Path(path).exists():
        address = ", which is an address; download it" * is_address(path)
        raise ValueError(
            f"train.pretrained: no run or file of weights {path!r}{address}"
        )
    if not Path(path).is_dir():
        _of_file(path, config.model)
    elif not (Path(path) / "config.json").exists():
        raise ValueError(f"train.pretrained: no config.json in {path!r}; no run?")
    else:
        wanted = abstract_variables(config.model, config.data.canvas)
        _shared(path, load_shapes(path), wanted, config)


def with_pretrained(state: TrainState, config: Config) -> TrainState:
    """Returns the state with the weights that `train.pretrained` names, in its order.

    A run gives all variables whose names and shapes the new model shares, whatever
    class its model has; the others (the class layers, for other classes) stay random
    and are logged. Where the new model has the run's model as a frozen submodule, such
    as the proposals of `FastRCNN`, that submodule gets the weights.

    Raises ValueError where a path is neither, a run fits little of the model, or a
    frozen submodule would stay random.
    """
    given = set()
    for path in map(pretrained_place, config.train.pretrained):
        found = _weights(path, state, config)
        given |= {name.split("/")[1] for name in found}
        state = with_variables(state, unflatten_dict(found, sep="/"))
    for name in _whole_frozen(config):
        if name not in given:
            raise ValueError(
                f"train.pretrained: {name} of this model is never trained, and must be "
                f"given a run of its own; got {list(config.train.pretrained)}"
            )
    return state


def _weights(path: str, state: TrainState, config: Config) -> dict[str, jax.Array]:
    """Returns the variables that a path gives the model, by their names there."""
    if not Path(path).is_dir():
        return _of_file(path, config.model)
    given = {"params": state.params, **state.collections}
    wanted = _flat(given)
    shared = _shared(path, load_variables(path), given, config)
    fresh = wanted.keys() - shared.keys()
    if fresh and {*map(_module, shared)} - {*_whole_frozen(config)}:
        _log.warning(
            "%s has no weights for %d of %d variables; these stay random: %s",
            *(path, len(fresh), len(wanted)),
            _by_module(wanted, fresh, only_those=True),
        )
    return shared


def _of_file(path: str, model: nn.Module) -> dict[str, jax.Array]:
    """Returns the variables of the backbone of a model that a file holds.

    Raises ValueError where it is no file of weights, or of another network's.
    """
    backbone = parts(model).get("backbone")
    if backbone is None:
        raise ValueError(
            f"train.pretrained: {path!r} is no run, and the model has no backbone "
            "to take weights from a file"
        )
    try:
        variables = backbone_from_torchvision(load_state_dict(path), backbone)
    except ValueError as error:
        raise ValueError(f"train.pretrained: {path!r}: {error}") from None
    return _flat({name: {"backbone": tree} for name, tree in variables.items()})


def _shared(path: str, found: dict, given: dict, config: Config) -> dict[str, Any]:
    """Returns the variables of a run that the model has, by their names there.

    Both trees are of arrays or of their shapes. Raises ValueError where they are few.
    """
    wanted = _flat(given)
    for name in _whole_frozen(config):
        if _shapes(found["params"]) == _shapes(given["params"][name]):
            found = {collection: {name: tree} for collection, tree in found.items()}
            return _flat(found)
    given = _norms_of_either_kind(_flat(found), wanted)
    shared = {
        name: leaf
        for name, leaf in given.items()
        if name in wanted and wanted[name].shape == leaf.shape
    }
    if _fits_little(wanted, shared):
        raise ValueError(
            f"train.pretrained: {path!r} fits little of this model: it has weights for "
            f"{_by_module(wanted, shared)}{fitting_options(path, config.model)}"
        )
    return shared


def _norms_of_either_kind(
    found: Mapping[str, Any], wanted: Collection[str]
) -> dict[str, Any]:
    """Returns the variables with scales and biases of norms where the model has them.

    A batch norm has them among its parameters, a frozen one beside its statistics.
    """
    other = {"params": "batch_stats", "batch_stats": "params"}
    moved = {}
    for name, leaf in found.items():
        collection, _, path = name.partition("/")
        if name not in wanted and re.search(r"/norm/(scale|bias)$", name):
            collection = other.get(collection, collection)  # or one of the user's own
        moved[f"{collection}/{path}"] = leaf
    return moved


def _fits_little(wanted: Mapping[str, Any], shared: Mapping[str, Any]) -> bool:
    """Whether less than half of the backbone gets weights; of all where there is none.

    Heads for other classes and necks of another width are what is commonly trained
    anew; a backbone is what weights are taken for.
    """
    backbone = {name for name in wanted if _module(name) == "backbone"}
    names = backbone or wanted.keys()
    sizes = {name: wanted[name].size for name in names}
    return sum(sizes[n] for n in names & shared.keys()) < 0.5 * sum(sizes.values())


def _by_module(
    wanted: Iterable[str], chosen: Iterable[str], *, only_those: bool = False
) -> str:
    """Says of how many variables of each module some are: "backbone 0 of 122, …"."""
    all_of, some = Counter(map(_module, wanted)), Counter(map(_module, chosen))
    return ", ".join(
        f"{module} {some[module]} of {number}"
        for module, number in all_of.items()
        if some[module] or not only_those
    )


def _module(name: str) -> str:
    """Returns the module of the detector that a variable is in."""
    return name.split("/")[1]


def _whole_frozen(config: Config) -> list[str]:
    """Returns the names of the submodules of a detector that are frozen as a whole."""
    return [part for part in facts(config.model).frozen if "/" not in part]


def _flat(tree: dict) -> dict[str, Any]:
    return dict(flatten_dict(tree, sep="/"))


def _shapes(params: dict) -> dict[str, tuple[int, ...]]:
    return {name: leaf.shape for name, leaf in _flat(params).items()}
