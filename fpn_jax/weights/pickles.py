"""Pickled arrays, read without running what else a pickle may ask for.

A pickle is a program that may call any function it names. Here it may name what arrays
are rebuilt of, and nothing else.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

# The functions that NumPy's own pickles name, whatever module holds them by now.
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
_SCALAR = np.float32(0).__reduce__()[0]


def _encode(text: str, encoding: str) -> bytes:
    """Returns the bytes of an array, which old protocols write as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text is encoded as {encoding}, not latin1")
    return text.encode("latin1")


_ALLOWED = {
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): bytes,  # none, of an empty array
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    # NumPy 2 has renamed its core.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
}


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
            return _ArraysOnly(file, encoding="latin1").load()
        except Exception as error:  # a broken pickle raises nearly any type
            reason = str(error).split("\n")[0] or type(error).__name__
            raise ValueError(
                f"path {path} is not a readable pickle of arrays: {reason}"
            ) from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Returns what a pickle names, if it is allowed to."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is refused")
        return _ALLOWED[module, name]
