"""A graph of ONNX while it grows, and the values in it as JAX sees them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 20  # what operators mean; onnxruntime has it from 1.17 on

_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # to channels first, and back


class Value:
    """A tensor of the graph, or a constant that may never become one.

    JAX's shape may be larger than what is stored: axes of 1 that are still to be
    broadcast, which most operators of ONNX do by themselves. An array of rank 4 may be
    stored with its channels first, as ONNX convolves.
    """

    def __init__(
        self,
        shape: Sequence[Any],
        dtype: Any,
        *,
        name: str | None = None,
        constant: np.ndarray | None = None,
        stored: Sequence[Any] | None = None,
        channels_first: bool = False,
        source: "Value | None" = None,
    ):
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.name, self.constant = name, constant
        # In the order of JAX's axes, whatever the layout.
        self.stored = self.shape if stored is None else tuple(stored)
        self.channels_first = channels_first
        self.source = source  # the tensor that this one reshapes
        self.names: dict[str, str] = {}  # of the same in other forms

    @property
    def is_expanded(self) -> bool:
        """Whether it is stored in JAX's shape."""
        return same_shape(self.stored, self.shape)

    def elsewhere(self) -> "Value":
        """Returns the value for a graph inside of its own."""
        return Value(
            self.shape,
            self.dtype,
            name=self.name,
            constant=self.constant,
            stored=self.stored,
            channels_first=self.channels_first,
        )

    def array(self) -> np.ndarray:
        """Returns a constant in JAX's shape, as a view."""
        assert self.constant is not None
        return np.broadcast_to(self.constant, self.shape)


class Graph:
    """Nodes in their order, and the constants of a graph and of those around it."""

    def __init__(self, outer: "Graph | None" = None):
        self.nodes: list[onnx.NodeProto] = []
        self.outer = outer
        root = self if outer is None else outer.root
        self.root: Graph = root
        if outer is None:
            self.initializers: dict[tuple, onnx.TensorProto] = {}
            self.count = 0
            self.batch: str | None = None  # the number of images, where it is open

    def new_name(self) -> str:
        self.root.count += 1
        return f"v{self.root.count}"

    def node(
        self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any
    ) -> Any:
        """Adds a node, and returns the name of its output, or a list of names."""
        names = [self.new_name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: Any, dtype: Any = None) -> str:
        """Returns the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(array, dtype).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes())
        known = self.root.initializers
        if key not in known:
            known[key] = numpy_helper.from_array(array, f"c{len(known)}")
        return known[key].name

    def ints(self, *numbers: int) -> str:
        """Returns the name of a constant list of int64."""
        return self.constant(np.array(numbers, np.int64))

    def cast(self, name: str, dtype: Any) -> str:
        return self.node("Cast", name, to=onnx_type(dtype))

    def result(self, name: str, aval: Any, **how: Any) -> Value:
        """Returns the value of an equation's output."""
        return Value(aval.shape, aval.dtype, name=name, **how)

    def as_stored(self, value: Value, *, channels_first: bool = False) -> str:
        """Returns the name of a value in a layout, with axes left to broadcast."""
        if value.constant is not None:
            array = value.constant
            if channels_first and array.ndim == 4:
                array = array.transpose(_FIRST)
            return self.constant(array)
        assert value.name is not None
        if len(value.shape) != 4 or channels_first == value.channels_first:
            return value.name
        form = "first" if channels_first else "last"
        if form not in value.names:
            perm = _FIRST if channels_first else _LAST
            value.names[form] = self.node("Transpose", value.name, perm=perm)
        return value.names[form]

    def full(self, value: Value, *, channels_first: bool = False) -> str:
        """Returns the name of a value in JAX's shape, or with its channels first."""
        if value.is_expanded:
            return self.as_stored(value, channels_first=channels_first)
        form = "full first" if channels_first else "full"
        if form not in value.names:
            stored = self.as_stored(value, channels_first=channels_first)
            shape = value.shape
            if channels_first:
                shape = [shape[axis] for axis in _FIRST]
            value.names[form] = self.node("Expand", stored, self.shape(shape))
        return value.names[form]

    def shape(self, shape: Sequence[Any]) -> str:
        """Returns the name of a shape, int64, which may depend on the batch."""
        if all(isinstance(size, int) for size in shape):
            return self.ints(*shape)
        sizes = [
            self.ints(size) if isinstance(size, int) else self.open_size(size)
            for size in shape
        ]
        return self.node("Concat", *sizes, axis=0) if len(sizes) > 1 else sizes[0]

    def open_size(self, size: Any) -> str:
        """Returns the name of a size [1] that is a multiple of the batch."""
        factor, rest = _line(size)
        assert self.root.batch is not None
        number = self.root.batch
        if factor != 1:
            number = self.node("Mul", number, self.ints(factor))
        return number if rest == 0 else self.node("Add", number, self.ints(rest))

    def reshaped(self, name: str, shape: Sequence[Any]) -> str:
        """Returns the name of a tensor in another shape that has one open size."""
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        if sizes.count(-1) > 1:
            return self.node("Reshape", name, self.shape(shape))
        # An axis of no size would mean: as before.
        return self.node("Reshape", name, self.ints(*sizes), allowzero=int(0 in sizes))


def onnx_type(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def tensor_info(name: str, dtype: Any, shape: Sequence[Any]) -> onnx.ValueInfoProto:
    sizes = [size if isinstance(size, int) else str(size) for size in shape]
    return helper.make_tensor_value_info(name, onnx_type(dtype), sizes)


def same_shape(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(x is y or x == y for x, y in zip(a, b, strict=True))


def broadcast_shape(shapes: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Returns the common shape of stored shapes of one rank, or of scalars."""
    rank = max(map(len, shapes))
    shapes = [shape if len(shape) == rank else (1,) * rank for shape in shapes]
    return tuple(
        next((size for size in sizes if not (isinstance(size, int) and size == 1)), 1)
        for sizes in zip(*shapes, strict=True)
    )


def _line(size: Any) -> tuple[int, int]:
    """Returns a and b of a size that is a * batch + b."""
    at = [int(size._evaluate({"batch": number})) for number in (1, 2, 5)]
    factor = at[1] - at[0]
    if at[2] - at[0] != 4 * factor:
        raise ValueError(f"a size of {size} is not a multiple of the batch")
    return factor, at[0] - factor
