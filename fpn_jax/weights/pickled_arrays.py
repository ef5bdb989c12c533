"""Stand-ins for the parts that NumPy's pickles rebuild arrays of.

NumPy trusts the state of a type or an array that a pickle gives it, and a broken one
ends the process. These take the same states and check them first.
"""

import math
import pickle
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

_KINDS = "biufcSU"  # numbers, bytes and texts; objects would be addresses


class PickledType:
    """Stands for `numpy.dtype`; `value` is the type."""

    def __init__(self, name: Any, *_: Any):
        value = name if isinstance(name, np.dtype) else np.dtype(_text(name))
        if value.kind not in _KINDS and not isinstance(name, np.dtype):
            raise pickle.UnpicklingError(f"it has an array of {value}")
        self.value = value

    def __setstate__(self, state: Any) -> None:
        """Takes the order of bytes; all else follows from the name."""
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"it has an order of bytes {order!r:.20}")
        self.value = self.value.newbyteorder(order)


class PickledArray(np.ndarray):
    """Stands for `numpy.ndarray`: an array that a state fills."""

    # An array cannot be a key of a dictionary; an optimizer's tensors are keys.
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    def __setstate__(self, state: Any) -> None:
        """Takes a shape, a type, the order of axes and the bytes."""
        *_, shape, kind, by_columns, data = state
        array = _array(data, kind, shape, "F" if by_columns else "C")
        state = (1, array.shape, array.dtype, array.flags.fnc, array.tobytes("A"))
        super().__setstate__(cast(Any, state))


def empty_array(*_: Any) -> PickledArray:
    """Stands for NumPy's `_reconstruct`: an array without numbers yet."""
    return np.ndarray.__new__(PickledArray, (0,), np.int8)


def array_of_buffer(
    data: Any, kind: Any, shape: Any, order: str = "C", *_: Any
) -> np.ndarray:
    """Stands for NumPy's `_frombuffer`, of the newest protocol."""
    return _array(data, kind, shape, order)


def scalar(kind: Any, data: Any = b"", *_: Any) -> Any:
    """Stands for NumPy's `scalar`."""
    return _array(data, kind, (), "C")[()]


def _array(data: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(kind, PickledType):
        raise pickle.UnpicklingError(f"it has an array of {kind!r:.40}")
    if not isinstance(shape, Sequence) or any(
        type(side) is not int or side < 0 for side in shape
    ):
        raise pickle.UnpicklingError(f"it has an array of shape {shape!r:.40}")
    data = data.encode("latin1") if isinstance(data, str) else bytes(data)
    count = math.prod(shape)
    if len(data) != count * kind.value.itemsize:
        raise pickle.UnpicklingError(
            f"it has an array of {count} {kind.value} in {len(data)} bytes"
        )
    flat = np.frombuffer(data, kind.value) if data else np.zeros(count, kind.value)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _text(value: Any) -> str:
    value = value.decode("latin1") if isinstance(value, bytes) else value
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it has {value!r:.40} in place of a name")
    return value
