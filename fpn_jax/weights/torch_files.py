"""Files of `torch.save`, read without torch: tensors become arrays of NumPy.

A file is a zip archive of a pickle and the storages that its tensors are views of;
before torch 1.6 it was a row of pickles with the storages behind them. No code in a
file is run: objects that are no tensors, numbers, texts or containers become `Unknown`.
"""

import io
import math
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from fpn_jax.weights.pickled_arrays import PickledType
from fpn_jax.weights.pickles import Names, Unknown, load_checkpoint_pickle

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old file

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}
_DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": jnp.bfloat16,
    "float8_e4m3fn": jnp.float8_e4m3fn,
    "float8_e4m3fnuz": jnp.float8_e4m3fnuz,
    "float8_e5m2": jnp.float8_e5m2,
    "float8_e5m2fnuz": jnp.float8_e5m2fnuz,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
}


class _Storage(NamedTuple):
    """Bytes that tensors are views of, and the type of its own."""

    data: bytearray | None  # None: not read, where the tensors are on no device
    dtype: np.dtype


def read_torch_file(path: Path) -> Any:
    """Returns the content of a file of `torch.save`.

    Raises ValueError, one line, for a broken file, one of another kind, and a program
    of TorchScript. A broken pickle raises nearly any type.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head.startswith(b"PK\x03\x04"):
            return _zipped(file)
        if head.startswith(b"\x80"):
            return _in_a_row(file)
        raise ValueError(f"torch.save has not written it, it begins with {head!r}")


def _zipped(file: BinaryIO) -> Any:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"it is broken or cut off: {error}") from None
    entries = {name.partition("/")[2]: name for name in archive.namelist()}
    if "constants.pkl" in entries:
        raise ValueError(
            "it holds a TorchScript program; save the state_dict() of its model"
        )
    if "data.pkl" not in entries:
        raise ValueError("it is a zip archive that torch.save has not written")

    def read(entry: str) -> bytes:
        info = archive.getinfo(entries[entry])
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"its entry {info.filename!r} is compressed")
        return archive.read(info)

    order = read("byteorder").decode() if "byteorder" in entries else "little"
    storages: dict[str, _Storage] = {}

    def persistent(pid: Any) -> _Storage:
        dtype, key, location = _storage_id(pid)
        if key not in storages:
            data = None if location == "meta" else bytearray(read(f"data/{key}"))
            storages[key] = _Storage(_native(data, dtype, order), dtype)
        return storages[key]._replace(dtype=dtype)

    return _unpickled(io.BytesIO(read("data.pkl")), persistent)


def _in_a_row(file: BinaryIO) -> Any:
    """Reads a file of torch before 1.6, or a pickle that torch has not written."""
    end, refuse = file.seek(0, io.SEEK_END), _no_storage
    file.seek(0)
    first = _unpickled(file, refuse)
    if not isinstance(first, int) or first != _MAGIC:
        return first
    _unpickled(file, refuse)  # the version
    order = "little" if _unpickled(file, refuse).get("little_endian", True) else "big"
    begin = file.tell()
    found: dict[str, np.dtype] = {}

    def note(pid: Any) -> Any:
        if pid[0] == "module":  # a class, with its source
            return pid[1]
        dtype, key, _ = _storage_id(pid)
        found[key] = dtype
        return _Storage(None, dtype)

    def stored(pid: Any) -> Any:
        return pid[1] if pid[0] == "module" else storages[_storage_id(pid)[1]]

    # The storages lie behind the pickle of their views, which is read twice.
    _unpickled(file, note)
    storages: dict[str, _Storage] = {}
    for key in _unpickled(file, refuse):
        dtype = found[key]
        length = int.from_bytes(file.read(8), order) * dtype.itemsize
        if file.tell() + length > end:
            raise ValueError("it is cut off")
        data = bytearray(file.read(length))
        storages[key] = _Storage(_native(data, dtype, order), dtype)
    file.seek(begin)
    return _unpickled(file, stored)


def _no_storage(pid: Any) -> Any:
    raise pickle.UnpicklingError(f"it refers to {pid!r:.40}")


def _storage_id(pid: Any) -> tuple[np.dtype, str, str]:
    """Returns the type, the key and the place of the storage that an id names."""
    kind, dtype, key, location = pid[:4]
    if kind != "storage":
        raise pickle.UnpicklingError(f"it refers to {pid!r:.40}")
    if not isinstance(dtype, PickledType):
        raise ValueError(
            f"its tensors are of torch.{dtype.__name__}, not of usual numbers"
        )
    return dtype.value, key, location


def _native(data: bytearray | None, dtype: np.dtype, order: str) -> bytearray | None:
    if data is None or order == sys.byteorder or dtype.itemsize == 1:
        return data
    words = np.frombuffer(data, f"V{dtype.itemsize}").view(np.uint8)
    return bytearray(words.reshape(-1, dtype.itemsize)[:, ::-1].tobytes())


def _unpickled(file: BinaryIO, persistent: Callable[[Any], Any]) -> Any:
    return load_checkpoint_pickle(file, _NAMES, persistent)


def _tensor(
    storage: _Storage, offset: int, size: Any, stride: Any, *_: Any
) -> "_Tensor":
    """Stands for torch's function that makes a tensor of a storage."""
    return _view(storage, offset, size, stride, storage.dtype)


def _typed_tensor(
    storage: _Storage,
    offset: int,
    size: Any,
    stride: Any,
    requires_grad: bool,
    hooks: Any,
    dtype: PickledType,
    *_: Any,
) -> "_Tensor":
    """Stands for its sibling, of types that have no storage of their own."""
    return _view(storage, offset, size, stride, dtype.value)


def _view(
    storage: _Storage, offset: int, size: Any, stride: Any, dtype: np.dtype
) -> "_Tensor":
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError(f"a tensor has the size {size!r:.60}")
    count = math.prod(size)
    if storage.data is None or not count:
        return np.broadcast_to(np.zeros((), dtype), size).view(_Tensor)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if max(last + 1, count) * dtype.itemsize > len(storage.data):
        raise ValueError(f"a tensor of size {size!r:.60} is larger than its storage")
    steps = [step * dtype.itemsize for step in stride]
    return _Tensor(size, dtype, storage.data, offset * dtype.itemsize, steps)


class _Tensor(np.ndarray):
    """An array that may be the key of a dictionary: an optimizer's are tensors."""

    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]  # unlike NumPy's


def _first(value: Any, *_: Any) -> Any:
    """Stands for the functions that wrap a tensor: a parameter, one of a device."""
    return value


def _pickled_storage(data: bytes) -> _Storage:
    """Stands for torch's function that reads a storage inside of a plain pickle."""
    return _in_a_row(io.BytesIO(data))


def _of_subclass(make: Callable, _: Any, arguments: Any, *__: Any) -> Any:
    """Stands for the function that makes a tensor of a subclass."""
    return make(*arguments) if make in (_tensor, _typed_tensor, _first) else Unknown()


_NAMES: Names = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._utils", "_rebuild_xla_tensor"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_subclass,
    ("torch.storage", "_load_from_bytes"): _pickled_storage,
    ("torch.storage", "UntypedStorage"): PickledType(np.dtype(np.uint8)),
    ("torch", "UntypedStorage"): PickledType(np.dtype(np.uint8)),
    **{
        ("torch", name): PickledType(np.dtype(dtype))
        for name, dtype in [*_STORAGES.items(), *_DTYPES.items()]
    },
}
