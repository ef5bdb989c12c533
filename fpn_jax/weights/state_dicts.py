"""State dicts of other libraries <-> our variables, by a table that reads both ways.

A rule gives the two names of the same tensors, `{…}` being a number that both share:

    Rule("layer1.{block}.conv{i}.weight", "params/stage2/block{block}/conv{i}/kernel")

`convert` walks a state dict through the table once, `export_state_dict` walks back.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fpn_jax.choices import check_choice
from fpn_jax.weights.checkpoint_contents import state_dict_in
from fpn_jax.weights.misfits import misfit_report, nearest_hint
from fpn_jax.weights.torch_files import read_torch_file

_log = logging.getLogger(__name__)

StateDict = dict[str, np.ndarray]
SUFFIXES = (".pth", ".pt", ".safetensors")  # that are written
# Lightning writes .ckpt, Hugging Face .bin, torch's examples .pth.tar, and some .pkl.
READ_SUFFIXES = (*SUFFIXES, ".ckpt", ".bin", ".tar", ".pkl")
_SAFETENSORS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
# A prefix that fewer of a file's names have is of a module inside the model.
_SHARE_OF_PREFIX = 0.9


class Layout(NamedTuple):
    """The order of a tensor's axes in PyTorch and in Flax."""

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

    `variables` may be abstract (`jax.eval_shape` of a module's `init`). A prefix that
    all names share is taken off first (`without_prefix`).

    Raises ValueError for names that are missing, that nothing asks for, or whose shape
    is another: all of them in one message, in the names of the state dict, grouped by
    module where they are many (`misfits.py`).
    """
    state_dict = without_prefix(state_dict, rules)
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
        raise ValueError(misfit_report(missing, extra, misshapen, [*names.values()]))
    _warn_of_divergence(filled)
    return unflatten_dict(filled, sep="/")


def _warn_of_divergence(variables: Mapping[str, np.ndarray]) -> None:
    broken = [name for name, x in variables.items() if not np.isfinite(x).all()]
    if broken:
        _log.warning(
            "%d of %d tensors hold NaN or infinity, such as %s: training diverged",
            *(len(broken), len(variables), broken[0]),
        )


def without_prefix(
    state_dict: Mapping[str, np.ndarray], rules: Sequence[Rule]
) -> Mapping[str, np.ndarray]:
    """Returns the tensors under the names that the rules know.

    A trained model often lies inside of another one: of torch's DataParallel
    ("module."), or of the user's own ("model.", "detector.model."). The prefix that
    most names fit the rules without is taken off, if nearly all of them have it.
    """
    prefixes = _shared_prefixes(state_dict)
    if not prefixes:
        return state_dict

    def fitting(prefix: str) -> int:
        names = (name.removeprefix(prefix) for name in state_dict)
        return sum(_our_path(name, rules)[0] is not None for name in names)

    best = max(prefixes, key=fitting)
    if fitting(best) <= fitting(""):
        return state_dict
    return {name.removeprefix(best): array for name, array in state_dict.items()}


def _shared_prefixes(names: Iterable[str]) -> list[str]:
    """Returns the beginnings of names, up to a dot, that nearly all of them have."""
    inside, prefixes = list(names), []
    least = max(_SHARE_OF_PREFIX * len(inside), 1)
    while inside:
        depth = len(prefixes) + 1
        begins = [".".join([*name.split(".")[:depth], ""]) for name in inside]
        ((longest, _),) = Counter(begins).most_common(1)
        inside = [name for name in inside if name.startswith(longest)]
        if len(inside) < least:
            break
        prefixes.append(longest)
    return prefixes


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
    """Returns the tensors of a file of torch (.pth, .pt …) or of safetensors, by name.

    A checkpoint of a training is opened, and a whole model is taken for its state dict;
    half precision becomes float32 (`checkpoint_contents.py`). No code in the file is
    run, and torch is not needed.
    """
    path = Path(path)
    check_file(path)
    check_choice("the suffix of path", path.suffix.lower(), READ_SUFFIXES)
    try:
        _check_downloaded(path)
        read = _read_safetensors if _is_safetensors(path) else read_torch_file
        return state_dict_in(read(path))
    except ImportError as error:
        raise ValueError(
            f"path {path} needs the package {error.name!r}: pip install {error.name}"
        ) from error
    except Exception as error:  # readers raise many types for broken files
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(
            f"path {path} is not a readable state dict: {reason}"
        ) from error


def check_file(path: str | Path) -> None:
    """Raises ValueError where there is no file: an address, a directory, nothing."""
    if is_address(path):
        raise ValueError(f"path must be a file, got {path}: an address; download it")
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must be a file, got {path}: it is a directory")
    if not path.is_file():
        siblings = [p.name for p in path.parent.glob("*") if p.is_file()]
        hint = nearest_hint(path.name, siblings)
        raise ValueError(f"path must be a file, got {path}: there is none{hint}")


def is_address(path: str | Path) -> bool:
    """Whether a path is an address of the web or of a store, also as a `Path`."""
    return re.match(r"[a-z][a-z0-9+]+:/", str(path)) is not None


def save_state_dict(
    state_dict: StateDict, path: str | Path, *, holder: str | None = None
) -> None:
    """Writes a .pth, .pt (needs torch) or .safetensors file.

    A file of torch has the tensors under the name `holder` where one is given. Raises
    ValueError where it cannot be written.
    """
    path = Path(path)
    check_choice("the suffix of path", path.suffix, SUFFIXES)
    if not path.parent.is_dir():
        raise ValueError(f"path {path}: no directory {str(path.parent)!r}")
    try:
        if path.suffix == ".safetensors":
            _write_safetensors(state_dict, path)
        else:
            _write_torch(state_dict, path, holder)
    except ImportError as error:
        raise ValueError(f"path {path} needs the package {error.name!r}") from error
    except Exception as error:  # each library has its own for a full disk
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"path {path} cannot be written: {reason}") from error


def _write_safetensors(state_dict: StateDict, path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({n: np.asarray(x, order="C") for n, x in state_dict.items()}, path)


def _write_torch(state_dict: StateDict, path: Path, holder: str | None) -> None:
    import torch

    tensors = {n: torch.tensor(array) for n, array in state_dict.items()}
    torch.save(tensors if holder is None else {holder: tensors}, path)


def _check_downloaded(path: Path) -> None:
    """Raises ValueError for an empty file, a pointer of Git LFS and a web page."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ValueError("it is empty")
    if head.startswith(b"version https://git-lfs"):
        raise ValueError("it is a pointer of Git LFS; git lfs pull fetches the file")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError("it is a web page; the download has failed")


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do, or is no other; some are misnamed."""
    with path.open("rb") as file:
        head = file.read(9)
    length, begin = int.from_bytes(head[:8], "little"), head[8:]
    if begin == b"{" and length <= path.stat().st_size:
        return True
    is_torch = head.startswith((b"PK\x03\x04", b"\x80"))
    return path.suffix.lower() == ".safetensors" and not is_torch


def _read_safetensors(path: Path) -> StateDict:
    from safetensors import deserialize

    # The library's own reader for NumPy has no type for floats of 8 bits.
    return {
        name: np.frombuffer(tensor["data"], np.uint8)
        .view(_SAFETENSORS[tensor["dtype"]])
        .reshape(tensor["shape"])
        for name, tensor in deserialize(path.read_bytes())
    }


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
    return None if template is None else _pattern(template).fullmatch(name)


@cache
def _pattern(template: str) -> re.Pattern:
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(template))
    return re.compile(pattern.replace(r"\*", ".*"))
