"""Primitives that compute element by element."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jax.lax import RoundingMethod

from fpn_jax.translation.graph import Graph, Value, broadcast_shape


def _mapped(emit: Callable[..., str], graph: Graph, eqn: Any, *values: Value) -> Value:
    """Returns the value of an operator that broadcasts its inputs by itself."""
    first = any(value.channels_first for value in values)
    names = [graph.as_stored(value, channels_first=first) for value in values]
    return graph.result(
        emit(graph, eqn, *names),
        eqn.outvars[0].aval,
        stored=broadcast_shape([value.stored for value in values]),
        channels_first=first,
    )


def _by(operator: str) -> Callable[..., str]:
    return lambda graph, eqn, *names: graph.node(operator, *names)


def _of_bits(of_bool: str, of_ints: str) -> Callable[..., str]:
    def emit(graph: Graph, eqn: Any, *names: str) -> str:
        is_bool = eqn.invars[0].aval.dtype == bool
        return graph.node(of_bool if is_bool else of_ints, *names)

    return emit


def _quotient(graph: Graph, eqn: Any, a: str, b: str) -> str:
    """Integers are cut towards 0, and by 0 give -1 as XLA's: ONNX would stop."""
    if np.issubdtype(eqn.invars[0].aval.dtype, np.floating):
        return graph.node("Div", a, b)
    none, divisor = _divisor(graph, eqn, b)
    least = graph.constant(np.array(-1, eqn.invars[0].aval.dtype))
    return graph.node("Where", none, least, graph.node("Div", a, divisor))


def _remainder(graph: Graph, eqn: Any, a: str, b: str) -> str:
    """The sign is that of the first, as in C; by 0 it is the first, as XLA's."""
    if np.issubdtype(eqn.invars[0].aval.dtype, np.floating):
        return graph.node("Mod", a, b, fmod=1)
    none, divisor = _divisor(graph, eqn, b)
    return graph.node("Where", none, a, graph.node("Mod", a, divisor, fmod=1))


def _divisor(graph: Graph, eqn: Any, name: str) -> tuple[str, str]:
    dtype = eqn.invars[0].aval.dtype
    none = graph.node("Equal", name, graph.constant(np.array(0, dtype)))
    one = graph.constant(np.array(1, dtype))
    return none, graph.node("Where", none, one, name)


def _power(graph: Graph, eqn: Any, name: str) -> str:
    exponent = graph.constant(np.array(eqn.params["y"], eqn.invars[0].aval.dtype))
    return graph.node("Pow", name, exponent)


def _square(graph: Graph, eqn: Any, name: str) -> str:
    return graph.node("Mul", name, name)


def _reciprocal_root(graph: Graph, eqn: Any, name: str) -> str:
    return graph.node("Reciprocal", graph.node("Sqrt", name))


def _not_equal(graph: Graph, eqn: Any, *names: str) -> str:
    return graph.node("Not", graph.node("Equal", *names))


def _finite(graph: Graph, eqn: Any, name: str) -> str:
    infinite, none = graph.node("IsInf", name), graph.node("IsNaN", name)
    return graph.node("Not", graph.node("Or", infinite, none))


def _rounded(graph: Graph, eqn: Any, name: str) -> str:
    if eqn.params["rounding_method"] != RoundingMethod.TO_NEAREST_EVEN:
        raise NotImplementedError("rounding halves away from zero")
    return graph.node("Round", name)


def _selected(graph: Graph, eqn: Any, which: str, *cases: str) -> str:
    if len(cases) != 2:
        raise NotImplementedError(f"a choice among {len(cases)} cases")
    no, yes = cases
    if eqn.outvars[0].aval.dtype != bool:
        return graph.node("Where", which, yes, no)
    taken = graph.node("And", which, yes)
    left = graph.node("And", graph.node("Not", which), no)
    return graph.node("Or", taken, left)


def _clamped(graph: Graph, eqn: Any, low: str, x: str, high: str) -> str:
    return graph.node("Min", graph.node("Max", x, low), high)


def _converted(graph: Graph, eqn: Any, value: Value) -> Value:
    aval = eqn.outvars[0].aval
    if value.dtype == aval.dtype:
        return value
    first = value.channels_first
    return graph.result(
        graph.cast(graph.as_stored(value, channels_first=first), aval.dtype),
        aval,
        stored=value.stored,
        channels_first=first,
    )


def _difference(graph: Graph, eqn: Any, a: Value, b: Value) -> Value:
    """A constant is added with the other sign, which a convolution takes in."""
    if b.constant is None or not np.issubdtype(b.dtype, np.floating):
        return _mapped(_by("Sub"), graph, eqn, a, b)
    opposite = Value(b.shape, b.dtype, constant=-b.constant, stored=b.stored)
    return _mapped(_by("Add"), graph, eqn, a, opposite)


def _maximum(graph: Graph, eqn: Any, a: Value, b: Value) -> Value:
    """With 0 it is a ReLU, which is folded into a convolution."""
    for one, other in ((a, b), (b, a)):
        floating = np.issubdtype(one.dtype, np.floating)
        if floating and other.constant is not None and not other.constant.any():
            if len(one.stored) == len(eqn.outvars[0].aval.shape):
                return _mapped(_by("Relu"), graph, eqn, one)
    return _mapped(_by("Max"), graph, eqn, a, b)


def _same(graph: Graph, eqn: Any, *values: Value) -> Sequence[Value]:
    return values


_EMITTED: dict[str, Callable[..., str]] = {
    "abs": _by("Abs"),
    "add": _by("Add"),
    "add_any": _by("Add"),
    "and": _of_bits("And", "BitwiseAnd"),
    "ceil": _by("Ceil"),
    "clamp": _clamped,
    "div": _quotient,
    "eq": _by("Equal"),
    "erf": _by("Erf"),
    "exp": _by("Exp"),
    "floor": _by("Floor"),
    "ge": _by("GreaterOrEqual"),
    "gt": _by("Greater"),
    "integer_pow": _power,
    "is_finite": _finite,
    "le": _by("LessOrEqual"),
    "log": _by("Log"),
    "logistic": _by("Sigmoid"),
    "lt": _by("Less"),
    "min": _by("Min"),
    "mul": _by("Mul"),
    "ne": _not_equal,
    "neg": _by("Neg"),
    "not": _of_bits("Not", "BitwiseNot"),
    "or": _of_bits("Or", "BitwiseOr"),
    "pow": _by("Pow"),
    "rem": _remainder,
    "round": _rounded,
    "rsqrt": _reciprocal_root,
    "select_n": _selected,
    "sign": _by("Sign"),
    "sqrt": _by("Sqrt"),
    "square": _square,
    "tanh": _by("Tanh"),
    "xor": _of_bits("Xor", "BitwiseXor"),
}
RULES: dict[str, Callable[..., Any]] = {
    **{name: partial(_mapped, emit) for name, emit in _EMITTED.items()},
    "convert_element_type": _converted,
    "copy": _same,
    "copy_p": _same,
    "max": _maximum,
    "optimization_barrier": _same,
    "reshard": _same,
    "sharding_constraint": _same,
    "stop_gradient": _same,
    "sub": _difference,
}
