"""Primitives that read and write at computed places: gather, scatter, slices."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from fpn_jax.translation.graph import Graph, Value


def _gather(graph: Graph, eqn: Any, value: Value, places: Value) -> Value:
    """Whole slices at one index of some axes, for each of several batches."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    indexed = tuple(numbers.start_index_map)
    batch = tuple(numbers.operand_batching_dims)
    rank, aval = len(value.shape), eqn.outvars[0].aval
    rest = [axis for axis in range(rank) if axis not in (*indexed, *batch)]
    if places.constant is not None and places.constant.ndim == 1 and not batch:
        return _part(graph, eqn, value, places.constant)
    if any(sizes[axis] != 1 for axis in indexed):
        raise NotImplementedError("a gather of several neighbors")
    if any(sizes[axis] is not value.shape[axis] for axis in rest) and any(
        sizes[axis] != value.shape[axis] for axis in rest
    ):
        raise NotImplementedError("a gather of parts of slices")
    bounds = [value.shape[axis] for axis in indexed]
    index, inside = _inside(graph, places, bounds, eqn.params["mode"])
    rows = graph.full(value)
    rows = _moved(graph, rows, [*batch, *indexed, *rest])
    # The batches of the places come first, too.
    places_batch = list(numbers.start_indices_batching_dims)
    others = [a for a in range(len(places.shape) - 1) if a not in places_batch]
    order = [*places_batch, *others]
    index = _moved(graph, index, [*order, len(places.shape) - 1])
    if len(indexed) == 1 and not batch:
        index = graph.node("Squeeze", index, graph.ints(-1))
        found = graph.node("Gather", rows, index, axis=0)
    else:
        found = graph.node("GatherND", rows, index, batch_dims=len(batch))
    found = _ordered(graph, found, order, rest, numbers, aval, rank)
    if inside is not None:
        found = _filled(graph, found, inside, numbers, aval, eqn.params["fill_value"])
    return graph.result(found, aval)


def _part(graph: Graph, eqn: Any, value: Value, starts: np.ndarray) -> Value:
    """Returns a slice at a known place: so JAX takes one where a size is open."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    axes = numbers.start_index_map
    name = graph.node(
        "Slice",
        graph.full(value),
        graph.ints(*starts),
        graph.ints(*(n + sizes[axis] for n, axis in zip(starts, axes, strict=True))),
        graph.ints(*axes),
    )
    if gone := numbers.collapsed_slice_dims:
        name = graph.node("Squeeze", name, graph.ints(*gone))
    return graph.result(name, eqn.outvars[0].aval)


def _ordered(
    graph: Graph, found: str, order: list[int], rest: list[int], numbers, aval, rank
) -> str:
    """Moves the axes of gathered values to where JAX has them."""
    offset = iter(
        axis
        for axis in range(rank)
        if axis not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    )
    places = iter(sorted(order))
    wanted = [
        ("operand", next(offset))
        if axis in numbers.offset_dims
        else ("places", next(places))
        for axis in range(len(aval.shape))
    ]
    have = [("places", axis) for axis in order] + [("operand", axis) for axis in rest]
    found = _moved(graph, found, [have.index(axis) for axis in wanted if axis in have])
    if len(wanted) > len(have):  # of an index that keeps its axis
        found = graph.reshaped(found, aval.shape)
    return found


def _inside(
    graph: Graph, places: Value, bounds: Sequence[int], mode: GatherScatterMode
) -> tuple[str, str | None]:
    """Returns places [..., K], int64, moved inside, and which were, if it matters."""
    known = all(isinstance(size, int) for size in bounds)
    if places.constant is not None and known:
        index = places.array().astype(np.int64)
        if (index >= 0).all() and (index < np.array(bounds)).all():
            return graph.constant(index), None
    index = graph.cast(graph.full(places), np.int64)
    low = graph.constant(np.int64(0))
    if known:
        high = graph.ints(*(n - 1 for n in bounds))
    else:
        high = graph.node("Sub", graph.shape(bounds), graph.constant(np.int64(1)))
    clipped = graph.node("Min", graph.node("Max", index, low), high)
    if mode != GatherScatterMode.FILL_OR_DROP:  # XLA clips what is promised, too
        return clipped, None
    return clipped, graph.node("Equal", clipped, index)


def _filled(graph: Graph, found: str, inside: str, numbers, aval, fill: Any) -> str:
    """Puts the fill value in the place of values from outside of the array."""
    if fill is None:
        is_float = np.issubdtype(aval.dtype, np.floating)
        fill = np.nan if is_float else np.iinfo(aval.dtype).min
    all_inside = graph.node(
        "ReduceMin", graph.cast(inside, np.int32), graph.ints(-1), keepdims=0
    )
    if numbers.offset_dims:
        axes = graph.ints(*numbers.offset_dims)
        all_inside = graph.node("Unsqueeze", all_inside, axes)
    filling = graph.constant(np.array(fill, aval.dtype))
    return graph.node("Where", graph.cast(all_inside, bool), found, filling)


def _moved(graph: Graph, name: str, perm: Sequence[int]) -> str:
    if list(perm) == list(range(len(perm))):
        return name
    return graph.node("Transpose", name, perm=perm)


def _scatter(
    reduction: str, graph: Graph, eqn: Any, value: Value, places: Value, new: Value
) -> Value:
    """Whole slices at one index of the first axes."""
    numbers = eqn.params["dimension_numbers"]
    indexed = tuple(numbers.scatter_dims_to_operand_dims)
    simple = (
        not numbers.operand_batching_dims
        and indexed == tuple(range(len(indexed)))
        and tuple(numbers.inserted_window_dims) == indexed
    )
    if not simple:
        raise NotImplementedError(f"a scatter of {numbers}")
    if eqn.params["mode"] == GatherScatterMode.CLIP:
        raise NotImplementedError("a scatter to the nearest place inside")
    index = graph.cast(graph.full(places), np.int64)
    updates = graph.full(new)
    window = list(numbers.update_window_dims)
    others = [axis for axis in range(len(new.shape)) if axis not in window]
    updates = _moved(graph, updates, [*others, *window])
    rows = graph.full(value)
    if len(indexed) > 1:
        raise NotImplementedError("a scatter along several axes")
    bound = graph.shape(value.shape[:1])
    # What is outside goes to a row of its own, which is cut off.
    one = graph.reshaped(
        graph.constant(np.zeros(1, value.dtype)), [1] * len(value.shape)
    )
    one = graph.node("Expand", one, graph.shape([1, *value.shape[1:]]))
    rows = graph.node("Concat", rows, one, axis=0)
    outside = graph.node(
        "Or",
        graph.node("Less", index, graph.constant(np.int64(0))),
        graph.node("Greater", index, bound),
    )
    index = graph.node("Where", outside, bound, index)
    written = graph.node("ScatterND", rows, index, updates, reduction=reduction)
    written = graph.node("Slice", written, graph.ints(0), bound, graph.ints(0))
    return graph.result(written, eqn.outvars[0].aval)


def _dynamic_slice(graph: Graph, eqn: Any, value: Value, *starts: Value) -> Value:
    sizes = eqn.params["slice_sizes"]
    begins, ends, axes = [], [], []
    for axis, (start, size, whole) in enumerate(
        zip(starts, sizes, value.shape, strict=True)
    ):
        if size is whole or size == whole:
            continue
        begin = graph.node("Reshape", graph.full(start), graph.ints(1))
        begin = graph.cast(begin, np.int64)
        begin = graph.node("Max", begin, graph.ints(0))
        begin = graph.node("Min", begin, graph.shape([whole - size]))
        begins.append(begin)
        ends.append(graph.node("Add", begin, graph.shape([size])))
        axes.append(axis)
    name = graph.full(value)
    if axes:
        begin, end = (graph.node("Concat", *each, axis=0) for each in (begins, ends))
        name = graph.node("Slice", name, begin, end, graph.ints(*axes))
    return graph.result(name, eqn.outvars[0].aval)


RULES: dict[str, Callable[..., Any]] = {
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "scatter": partial(_scatter, "none"),
    "scatter-add": partial(_scatter, "add"),
    "scatter-max": partial(_scatter, "max"),
    "scatter-min": partial(_scatter, "min"),
}
