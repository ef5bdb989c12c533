"""Primitives that move numbers and compute none: shapes, axes, static slices."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpn_jax.translation.graph import Graph, Value, same_shape

_FIRST = (0, 3, 1, 2)
_FAR = np.iinfo(np.int64).max


def _reshape(graph: Graph, eqn: Any, value: Value, *_: Value) -> Value:
    aval = eqn.outvars[0].aval
    if same_shape(value.shape, aval.shape):
        return value
    source = value
    while source is not None:  # there and back again
        if same_shape(source.shape, aval.shape):
            return source
        source = source.source
    name = graph.reshaped(graph.full(value), aval.shape)
    return graph.result(name, aval, source=value)


def _broadcast(graph: Graph, eqn: Any, value: Value, *_: Value) -> Value:
    aval, places = eqn.outvars[0].aval, eqn.params["broadcast_dimensions"]
    stored = [1] * len(aval.shape)
    for place, size in zip(places, value.stored, strict=True):
        stored[place] = size
    if len(value.shape) == len(aval.shape):  # axes stay in their order
        return Value(
            aval.shape,
            aval.dtype,
            name=value.name,
            constant=value.constant,
            stored=stored,
            channels_first=value.channels_first,
        )
    if value.constant is not None:
        constant = value.constant.reshape(stored)
        return Value(aval.shape, aval.dtype, constant=constant, stored=stored)
    name = graph.reshaped(graph.as_stored(value), stored)
    return graph.result(name, aval, stored=stored)


def _iota(graph: Graph, eqn: Any, *_: Value) -> Value:
    aval, axis = eqn.outvars[0].aval, eqn.params["dimension"]
    stored = [1] * len(aval.shape)
    stored[axis] = size = aval.shape[axis]
    if isinstance(size, int):
        constant = np.arange(size, dtype=aval.dtype).reshape(stored)
        return Value(aval.shape, aval.dtype, constant=constant, stored=stored)
    scalars = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    end = graph.node("Squeeze", graph.open_size(size))
    numbers = graph.cast(graph.node("Range", scalars[0], end, scalars[1]), aval.dtype)
    return graph.result(graph.reshaped(numbers, stored), aval, stored=stored)


def _size(graph: Graph, eqn: Any) -> Value:
    """Returns an open size as a number."""
    aval = eqn.outvars[0].aval
    number = graph.node("Squeeze", graph.open_size(eqn.params["dim"]))
    return graph.result(graph.cast(number, aval.dtype), aval)


def _squeeze(graph: Graph, eqn: Any, value: Value) -> Value:
    aval, gone = eqn.outvars[0].aval, eqn.params["dimensions"]
    stored = [size for axis, size in enumerate(value.stored) if axis not in gone]
    name = graph.as_stored(value)
    if gone:
        name = graph.node("Squeeze", name, graph.ints(*gone))
    return graph.result(name, aval, stored=stored)


def _transpose(graph: Graph, eqn: Any, value: Value) -> Value:
    perm = eqn.params["permutation"]
    stored = [value.stored[axis] for axis in perm]
    name = graph.node("Transpose", graph.as_stored(value), perm=perm)
    return graph.result(name, eqn.outvars[0].aval, stored=stored)


def _concatenate(graph: Graph, eqn: Any, *values: Value) -> Value:
    first = any(value.channels_first for value in values)
    axis = eqn.params["dimension"]
    values = tuple(x for x in values if not same_shape([x.shape[axis]], [0]))
    names = [graph.full(value, channels_first=first) for value in values]
    name = graph.node("Concat", *names, axis=_axis(axis, first))
    return graph.result(name, eqn.outvars[0].aval, channels_first=first)


def _stack(graph: Graph, eqn: Any, *values: Value) -> Value:
    (axis,) = (eqn.params[name] for name in eqn.params if name in ("axis", "dimension"))
    place = graph.ints(axis)
    names = [graph.node("Unsqueeze", graph.full(value), place) for value in values]
    return graph.result(graph.node("Concat", *names, axis=axis), eqn.outvars[0].aval)


def _tile(graph: Graph, eqn: Any, value: Value) -> Value:
    times = graph.shape(eqn.params["reps"])
    return graph.result(
        graph.node("Tile", graph.full(value), times), eqn.outvars[0].aval
    )


def _slice(graph: Graph, eqn: Any, value: Value) -> Value:
    starts, ends = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(starts)
    shape = eqn.outvars[0].aval.shape
    axes = [
        axis
        for axis, size in enumerate(value.shape)
        if not same_shape([size], [shape[axis]])
    ]
    # An axis that is still to be broadcast has nothing to cut.
    cut = [
        axis for axis in axes if same_shape([value.stored[axis]], [value.shape[axis]])
    ]
    stored = [
        shape[axis] if axis in cut else size for axis, size in enumerate(value.stored)
    ]
    first = value.channels_first
    name = graph.as_stored(value, channels_first=first)
    if cut:
        name = graph.node(
            "Slice",
            name,
            graph.shape([starts[axis] for axis in cut]),
            graph.shape([ends[axis] for axis in cut]),
            graph.ints(*(_axis(axis, first) for axis in cut)),
            graph.ints(*(strides[axis] for axis in cut)),
        )
    return graph.result(name, eqn.outvars[0].aval, stored=stored, channels_first=first)


def _reverse(graph: Graph, eqn: Any, value: Value) -> Value:
    axes, first = eqn.params["dimensions"], value.channels_first
    name = graph.node(
        "Slice",
        graph.full(value, channels_first=first),
        graph.ints(*[-1 for _ in axes]),
        graph.ints(*[-_FAR for _ in axes]),
        graph.ints(*(_axis(axis, first) for axis in axes)),
        graph.ints(*[-1 for _ in axes]),
    )
    return graph.result(name, eqn.outvars[0].aval, channels_first=first)


def _pad(graph: Graph, eqn: Any, value: Value, filling: Value) -> Value:
    config = eqn.params["padding_config"]
    if any(inside for _, _, inside in config):
        raise NotImplementedError("padding between the numbers")
    first = value.channels_first
    name = graph.full(value, channels_first=first)
    axes = _FIRST if first else range(len(config))
    ends = [config[axis][side] for side in (0, 1) for axis in axes]
    if any(ends):  # of all axes: onnxruntime loses which they are, where they are few
        name = graph.node("Pad", name, graph.ints(*ends), graph.as_stored(filling))
    return graph.result(name, eqn.outvars[0].aval, channels_first=first)


def _axis(axis: int, channels_first: bool) -> int:
    return _FIRST.index(axis) if channels_first else axis


RULES: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dim_as_value": _size,
    "iota": _iota,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "squeeze": _squeeze,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
}
