"""State dicts of other libraries <-> our variables, by a table that reads both ways.

A rule gives the two names of the same tensors, `{…}` being a number that both share:

    Rule("layer1.{block}.conv{i}.weight", "params/stage2/block{block}/conv{i}/kernel")

`convert` walks a state dict through the table once, `export_state_dict` walks back.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.choices import check_choice

StateDict = dict[str, np.ndarray]
SUFFIXES = (".pth", ".pt", ".safetensors")


class Layout(NamedTuple):
    """How the axes of a tensor are ordered there and here."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
LINEAR = Layout(np.transpose, np.transpose)
CONV = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))


class Rule(NamedTuple):
    """One row of a table; of several that fit a name, the first counts."""

    theirs: str  # {x} stands for a number; * for anything, where `ours` is None
    ours: str | None  # collection/module/…/leaf; None: the tensor is left out
    layout: Layout = SAME


def convert(
    state_dict: Mapping[str, np.ndarray], rules: Sequence[Rule], variables: Any
) -> dict[str, Any]:
    """Returns variables of the shapes and types of `variables`, filled by `rules`.

    `variables` may be abstract (`jax.eval_shape` of a module's `init`). All names that
    are missing, that nothing asks for, or whose shape is another are reported in one
    ValueError, in the names of the state dict, each with the nearest candidate.
    """
    expected: dict[str, Any] = flatten_dict(variables, sep="/")
    names = {path: _their_name(path, rules) for path in expected}
    filled, extra, misshapen = {}, [], []
    for name, array in state_dict.items():
        rule, path = _our_path(name, rules)
        if rule is not None and path is None:
            continue
        if rule is None or path not in expected or path in filled:
            extra.append(name)
            continue
        leaf = expected[path]
        shape = rule.layout.to_theirs(np.broadcast_to(np.bool_(0), leaf.shape)).shape
        if array.shape == shape:
            filled[path] = rule.layout.to_ours(array).astype(leaf.dtype)
        else:
            misshapen.append(f"{name} is {array.shape}, must be {shape}")
            filled[path] = None
    missing = [names[path] for path in expected if path not in filled]
    if missing or extra or misshapen:
        raise ValueError(_report(missing, extra, misshapen, names.values()))
    return unflatten_dict(filled, sep="/")


def export_state_dict(variables: Any, rules: Sequence[Rule]) -> StateDict:
    """Returns the state dict that `convert` makes `variables` of, bit by bit.

    Where the table accepts several names (older releases), it is the first. Tensors
    that `rules` leave out do not come back.
    """
    state_dict = {}
    for path, leaf in flatten_dict(variables, sep="/").items():
        rule = next((rule for rule in rules if _match(rule.ours, path)), None)
        if rule is None:
            raise ValueError(f"rules have no row for the variable {path}")
        state_dict[_their_name(path, rules)] = rule.layout.to_theirs(np.asarray(leaf))
    return state_dict


def load_state_dict(path: str | Path) -> StateDict:
    """Returns the tensors of a .pth, .pt (needs torch) or .safetensors file, by name.

    A training checkpoint that keeps them under "model" or "state_dict" is opened. No
    code in the file is run.
    """
    path = Path(path)
    check_choice("the suffix of path", path.suffix, SUFFIXES)
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*") if p.is_file()]
        hint = _nearest(path.name, siblings)
        raise ValueError(f"path must be a file, got {path}: there is none{hint}")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        return read(path)
    except ImportError as error:
        raise ValueError(
            f"path {path} needs the package {error.name!r}: pip install {error.name}"
        ) from error
    except Exception as error:  # both readers raise many types for broken files
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"path {path} is not a readable state dict: {reason}"
        ) from error


def save_state_dict(state_dict: StateDict, path: str | Path) -> None:
    """Writes a .pth, .pt (needs torch) or .safetensors file."""
    path = Path(path)
    check_choice("the suffix of path", path.suffix, SUFFIXES)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({n: np.asarray(x, order="C") for n, x in state_dict.items()}, path)
        return
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"path {path} needs the package 'torch'") from error
    torch.save({n: torch.tensor(array) for n, array in state_dict.items()}, path)


def _read_safetensors(path: Path) -> StateDict:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_torch(path: Path) -> StateDict:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"it holds a {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name} is a {type(value).__name__}, not a tensor")
    return {name: tensor.numpy() for name, tensor in content.items()}


def _our_path(name: str, rules: Sequence[Rule]) -> tuple[Rule | None, str | None]:
    """Returns the first rule that fits a foreign name, and the path it leads to."""
    for rule in rules:
        if match := _match(rule.theirs, name):
            return rule, rule.ours and rule.ours.format(**match.groupdict())
    return None, None


def _their_name(path: str, rules: Sequence[Rule]) -> str:
    """Returns the foreign name of a path, or the path itself if no rule leads to it."""
    for rule in rules:
        if match := _match(rule.ours, path):
            return rule.theirs.format(**match.groupdict())
    return path


def _match(template: str | None, name: str) -> re.Match | None:
    if template is None:
        return None
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(template))
    return re.fullmatch(pattern.replace(r"\*", ".*"), name)


def _report(
    missing: list[str], extra: list[str], misshapen: list[str], names: Iterable[str]
) -> str:
    """Says what is wrong with a state dict: a line in sum, and one for each name."""
    lines = [
        f"state_dict does not fit the model: {len(missing)} missing, {len(extra)} "
        f"unknown, {len(misshapen)} of another shape"
    ]
    # Another model altogether: a nearest name for each would say little, in seconds.
    many = min(len(missing), len(extra)) > 50
    known = [] if many else missing or list(names)
    near = [] if many else extra
    lines += [f"  missing {name}{_nearest(name, near)}" for name in missing]
    lines += [f"  unknown {name}{_nearest(name, known)}" for name in extra]
    lines += [f"  shape of {problem}" for problem in misshapen]
    return "\n".join(lines)


def _nearest(name: str, candidates: Sequence[str]) -> str:
    matches = get_close_matches(name, candidates, n=1)
    return f" (nearest: {matches[0]})" if matches else ""
