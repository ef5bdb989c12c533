"""Finds the weights of a model in a file of another library.

People save a state dict, a model, or a dictionary of all that a training needs, in
which one of them lies under a name of their choice. A model comes as the dictionary of
its attributes (`pickles.Unknown`).

Where a training has kept a moving average of the weights beside them, the average is
taken, as Ultralytics, timm and torchvision's references evaluate it.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

_log = logging.getLogger(__name__)

# The usual names of weights, in the order they are looked for.
_USUAL = (
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "detector",
)
# Names of moving averages: "ema", "model_ema", "ema_state_dict", "params_ema".
_AVERAGE = re.compile(r"(?<![a-z])ema(?![a-z])", re.IGNORECASE)
_DEPTH = 4  # {"ema": {"module": model}} and one more

# Parts of a name that wrappers of torch put in, at any depth: of torch.compile, of
# FullyShardedDataParallel, of activation checkpointing.
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_COUNT = "n_averaged"  # of AveragedModel, which is no weight


def state_dict_in(content: Any) -> dict[str, np.ndarray]:
    """Returns the state dict in the content of a file, wherever it lies.

    It is the content itself, a model's, or the one under a name such as "model" or
    "model_state_dict". A moving average of the same tensors ("ema", "model_ema") is
    taken in place of the weights, which is logged. Half precision becomes float32, and
    names are without the parts that torch's wrappers put in.

    Raises ValueError, one line that says what the content is, where there is none.
    """
    found = _found(content, _DEPTH)
    if found is None:
        raise ValueError(
            f"it holds {_described(content)} and no weights by name; save the "
            "state_dict() of a model"
        )
    return {
        _unwrapped(name): _computable(name, array)
        for name, array in found.items()
        if name != _COUNT
    }


class _Entry(NamedTuple):
    """A state dict, and the name that it lies under."""

    name: str
    tensors: dict[str, np.ndarray]

    @property
    def names(self) -> set[str]:
        """Names of the tensors, without the wrapper that takes the average."""
        names = {_unwrapped(name) for name in self.tensors} - {_COUNT}
        wrapped = all(name.startswith("module.") for name in names)
        return {name.removeprefix("module.") for name in names} if wrapped else names


def _found(
    content: Any, depth: int, *, named: bool = True
) -> dict[str, np.ndarray] | None:
    """Returns the state dict inside; `named`: the name it lies under is of weights."""
    if isinstance(content, list | tuple):
        content, named = {str(i): item for i, item in enumerate(content)}, False
    if not isinstance(content, Mapping) or not depth:
        return None
    if {"_parameters", "_modules"} <= content.keys():
        return dict(_tensors_of_model(content, "")) or None
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, np.ndarray)
    }
    if any("." in name for name in tensors):
        return tensors
    texts = [name for name in content if isinstance(name, str)]
    averages = [name for name in texts if _AVERAGE.search(name)]
    weights = _first(content, _USUAL, depth)
    average = _first(content, averages, depth)
    if weights and average:
        return _evaluated(weights, average).tensors
    others = [name for name in texts if name not in (*_USUAL, *averages)]
    if found := weights or average or _first(content, others, depth, named=False):
        return found.tensors
    # An optimizer's tensors have names as well, which lead into no module.
    return tensors if named and tensors else None


def _first(
    content: Mapping[str, Any],
    names: Iterable[str],
    depth: int,
    *,
    named: bool = True,
) -> _Entry | None:
    """Returns the first state dict that lies under one of some names."""
    for name in names:
        found = _found(content.get(name), depth - 1, named=named)
        if found is not None:
            return _Entry(name, found)
    return None


def _evaluated(weights: _Entry, average: _Entry) -> _Entry:
    """Returns the one of both that an evaluation takes, and logs which that is.

    Some averages are without the buffers of the model, and are no state dict.
    """
    chosen = average if average.names >= weights.names else weights
    _log.warning(
        "the file holds weights (%r) and a moving average of them (%r): %r is taken",
        *(weights.name, average.name, chosen.name),
    )
    return chosen


def _tensors_of_model(
    model: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the state dict of a torch module, of which these are the attributes."""
    temporary = model.get("_non_persistent_buffers_set", ())
    for holder in ("_parameters", "_buffers"):
        for name, value in _part(model, holder).items():
            if isinstance(value, np.ndarray) and name not in temporary:
                yield f"{prefix}{name}", value
    for name, part in _part(model, "_modules").items():
        if isinstance(part, Mapping):
            yield from _tensors_of_model(part, f"{prefix}{name}.")


def _part(model: Mapping[str, Any], holder: str) -> Mapping[str, Any]:
    part = model.get(holder)
    return part if isinstance(part, Mapping) else {}


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _computable(name: str, array: np.ndarray) -> np.ndarray:
    """Returns an array in a type that everything computes in."""
    array = np.asarray(array)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "biu" or (kind == "f" and size >= 4):
        return array
    if kind not in "fV":  # V: bfloat16 and most floats of 8 bits
        raise ValueError(f"{name} is of {array.dtype}, not of floats or integers")
    return array.astype(np.float32)


def _described(content: Any) -> str:
    """Describes the content of a file, as "a dict of 'epoch' (int)"."""
    kind = type(content)
    if isinstance(content, np.ndarray):
        return "one tensor"
    if not isinstance(content, dict):
        return f"a {kind.__name__}"
    if kind not in (dict, OrderedDict):
        return f"an object of {kind.__module__}.{kind.__name__}"
    if not content:
        return "an empty dict"
    first = [f"{key!r:.40} ({type(x).__name__})" for key, x in content.items()][:8]
    more = f" and {len(content) - len(first)} more" if len(first) < len(content) else ""
    return f"a dict of {', '.join(first)}{more}"
