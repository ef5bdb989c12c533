"""Primitives that reduce or sort: sums, maxima, top k."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fpn_jax.translation.graph import Graph, Value


def _reduced(operator: str, graph: Graph, eqn: Any, value: Value) -> Value:
    name, axes = graph.full(value), eqn.params["axes"]
    if eqn.params.get("out_sharding") is not None:
        raise NotImplementedError("sharded reductions")
    if axes:
        name = graph.node(operator, name, graph.ints(*axes), keepdims=0)
    return graph.result(name, eqn.outvars[0].aval)


def _of_bools(operator: str, graph: Graph, eqn: Any, value: Value) -> Value:
    numbers = graph.cast(graph.full(value), np.int32)
    name = graph.node(operator, numbers, graph.ints(*eqn.params["axes"]), keepdims=0)
    return graph.result(graph.cast(name, bool), eqn.outvars[0].aval)


def _place(operator: str, graph: Graph, eqn: Any, value: Value) -> Value:
    (axis,), aval = eqn.params["axes"], eqn.outvars[0].aval
    name = graph.full(value)
    if value.dtype == bool:
        name = graph.cast(name, np.int32)
    name = graph.node(operator, name, axis=axis, keepdims=0)
    return graph.result(graph.cast(name, aval.dtype), aval)


def _cumulative(graph: Graph, eqn: Any, value: Value) -> Value:
    axis = graph.constant(np.int64(eqn.params["axis"]))
    reverse = int(eqn.params["reverse"])
    name = graph.node("CumSum", graph.full(value), axis, reverse=reverse)
    return graph.result(name, eqn.outvars[0].aval)


def _top(graph: Graph, eqn: Any, value: Value) -> list[Value]:
    axis = eqn.params.get("axis", -1)
    return _ranked(graph, eqn, value, eqn.params["k"], axis=axis, largest=1)


def _ranked(graph: Graph, eqn: Any, value: Value, number: int, **how) -> list[Value]:
    best, index = graph.node(
        "TopK", graph.full(value), graph.ints(number), outputs=2, **how
    )
    avals = [variable.aval for variable in eqn.outvars]
    results = [graph.result(best, avals[0])]
    if len(avals) > 1:
        results.append(graph.result(graph.cast(index, avals[1].dtype), avals[1]))
    return results


def _sorted(graph: Graph, eqn: Any, *values: Value) -> list[Value]:
    if len(values) != 1:
        raise NotImplementedError("a sort of several arrays")
    axis = eqn.params["dimension"]
    number = values[0].shape[axis]
    return _ranked(graph, eqn, values[0], number, axis=axis, largest=0)


RULES: dict[str, Callable[..., Any]] = {
    "argmax": partial(_place, "ArgMax"),
    "argmin": partial(_place, "ArgMin"),
    "cumsum": _cumulative,
    "reduce_and": partial(_of_bools, "ReduceMin"),
    "reduce_max": partial(_reduced, "ReduceMax"),
    "reduce_min": partial(_reduced, "ReduceMin"),
    "reduce_or": partial(_of_bools, "ReduceMax"),
    "reduce_prod": partial(_reduced, "ReduceProd"),
    "reduce_sum": partial(_reduced, "ReduceSum"),
    "sort": _sorted,
    "top_k": _top,
}
