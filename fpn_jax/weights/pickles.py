"""Pickles, read without running any code that they name.

A pickle is a program that may call any function it names. Here it may name the parts
that arrays are rebuilt of. A pickle of arrays that names anything else is refused; in a
checkpoint, where settings and models lie beside the weights, an inert `Unknown` takes
the place of each foreign object.
"""

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fpn_jax.weights.pickled_arrays import (
    PickledArray,
    PickledType,
    array_of_buffer,
    empty_array,
    scalar,
)

Names = Mapping[tuple[str, str], Any]  # (module, name) -> its stand-in


def _encode(text: str, encoding: str) -> bytes:
    """Returns the bytes of an array, which old protocols write as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text is encoded as {encoding}, not latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Returns the bytes of an empty array."""
    return b""


_ARRAYS: Names = {
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): PickledType,
    ("numpy", "ndarray"): PickledArray,
    # NumPy 2 has renamed its core.
    ("numpy.core.multiarray", "_reconstruct"): empty_array,
    ("numpy._core.multiarray", "_reconstruct"): empty_array,
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy._core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): array_of_buffer,
    ("numpy._core.numeric", "_frombuffer"): array_of_buffer,
}


class Unknown(dict):
    """Stands for an object, a class or a function that is not imported.

    It allows everything that a pickle does to an object, and keeps only attributes and
    items. Its class has the name and the module of the original.
    """

    def __init__(self, *_: Any, **__: Any):
        super().__init__()

    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]  # unlike dict's

    def __call__(self, *_: Any, **__: Any) -> "Unknown":
        return self

    def __setstate__(self, state: Any) -> None:
        # Attributes, or those of a dictionary and those of slots.
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Mapping):
                self.update(part)

    def append(self, _: Any) -> None:
        """Takes an item of a list."""

    def extend(self, _: Iterable) -> None:
        """Takes the items of a list."""

    def add(self, _: Any) -> None:
        """Takes an item of a set."""


def load_pickle(path: str | Path) -> Any:
    """Returns the content of a pickle of arrays, numbers, text and containers.

    Strings of Python 2 are read as latin1.

    Raises:
      ValueError: for a pickle that names anything else, which is not run; for a broken
        or missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path must be a file, got {path}: there is none")
    with path.open("rb") as file:
        try:
            return _load(file, _array_or_refusal)
        except Exception as error:  # a broken pickle raises nearly any type
            reason = str(error).split("\n")[0] or type(error).__name__
            raise ValueError(
                f"path {path} is not a readable pickle of arrays: {reason}"
            ) from error


def load_checkpoint_pickle(
    file: BinaryIO, names: Names, persistent: Callable[[Any], Any]
) -> Any:
    """Returns the content of the pickle that begins at the position of a file.

    Args:
        names: stand-ins for the functions and classes that tensors are rebuilt of.
            They and NumPy's are called, every other name becomes an `Unknown`.
        persistent: gives the object that the pickle refers to by an id.
    """

    def find(module: str, name: str) -> Any:
        known = {**_ARRAYS, **names}
        if (module, name) in known:
            return known[module, name]
        return type(name, (Unknown,), {"__module__": module})

    return _load(file, find, persistent=persistent)


def _array_or_refusal(module: str, name: str) -> Any:
    if (module, name) not in _ARRAYS:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
    return _ARRAYS[module, name]


def _load(
    file: BinaryIO,
    find: Callable[[str, str], Any],
    *,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    start = file.tell()
    _check_memo(file)
    file.seek(start)
    return _Unpickler(file, find, persistent).load()


def _check_memo(file: BinaryIO) -> None:
    """Raises UnpicklingError for a number of an object beyond the pickle's length.

    The reader makes room for as many objects, in a broken file billions.
    """
    for opcode, number, position in pickletools.genops(file):
        if "PUT" in opcode.name and int(number or 0) > (position or 0):
            raise pickle.UnpicklingError(f"it numbers an object {number}")


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        file: BinaryIO,
        find: Callable[[str, str], Any],
        persistent: Callable[[Any], Any] | None,
    ):
        super().__init__(file, encoding="latin1")  # of the strings of Python 2
        self._find, self._persistent = find, persistent

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in for a name of the pickle."""
        return self._find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """Returns the object that lies outside of the pickle."""
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to another file")
        return self._persistent(pid)
