"""From a jaxpr to a model of ONNX, equation by equation."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import helper

from fpn_jax.translation.elementwise import RULES as ELEMENTWISE
from fpn_jax.translation.graph import OPSET, Graph, Value, tensor_info
from fpn_jax.translation.places import RULES as PLACES
from fpn_jax.translation.products import RULES as PRODUCTS
from fpn_jax.translation.reductions import RULES as REDUCTIONS
from fpn_jax.translation.regions import RULES as REGIONS
from fpn_jax.translation.shapes import RULES as SHAPES

_RULES: dict[str, Callable[..., Any]] = {
    **ELEMENTWISE,
    **SHAPES,
    **REDUCTIONS,
    **PRODUCTS,
    **PLACES,
    **REGIONS,
}
# Equations that are another jaxpr, by the parameter that has it.
_INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
}
_LARGEST_FOLDED = 1 << 24  # numbers; more are computed where the model runs


def onnx_model(
    function: Callable[..., Mapping[str, jax.Array]],
    inputs: Mapping[str, jax.ShapeDtypeStruct],
) -> onnx.ModelProto:
    """Returns a function of arrays, to a dictionary of arrays, as a model.

    Only the first axis of inputs may have a symbolic size, which is called "batch".
    Raises ValueError for a function that ONNX, or this translation, cannot express.
    """
    closed, shapes_of_outputs = jax.make_jaxpr(function, return_shape=True)(
        *inputs.values()
    )
    graph = Graph()
    values = [_input(graph, name, given) for name, given in inputs.items()]
    results = _translate_closed(graph, closed, values)
    names = sorted(shapes_of_outputs)  # as JAX flattens a dictionary
    for name, value in zip(names, results, strict=True):
        graph.nodes.append(helper.make_node("Identity", [graph.full(value)], [name]))
    proto = helper.make_graph(
        _used(graph.nodes, names),
        "detector",
        [tensor_info(name, x.dtype, x.shape) for name, x in inputs.items()],
        [
            tensor_info(name, value.dtype, value.shape)
            for name, value in zip(names, results, strict=True)
        ],
    )
    needed = _names_in(proto.node)
    proto.initializer.extend(
        tensor for tensor in graph.initializers.values() if tensor.name in needed
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=9)


def _input(graph: Graph, name: str, given: jax.ShapeDtypeStruct) -> Value:
    """Returns the value of an input, images with their channels first at once.

    What is broadcast over whole maps is several times faster than over channels.
    """
    if not isinstance(given.shape[0], int) and graph.batch is None:
        shape = graph.node("Shape", name)
        graph.batch = graph.node("Slice", shape, graph.ints(0), graph.ints(1))
    if len(given.shape) != 4:
        return graph.result(name, given)
    first = graph.node("Transpose", name, perm=[0, 3, 1, 2])
    return graph.result(first, given, channels_first=True)


def _translate_closed(
    graph: Graph, closed: ClosedJaxpr, values: Sequence[Value]
) -> list[Value]:
    constants = [_constant(np.asarray(x)) for x in closed.consts]
    return _translate(graph, closed.jaxpr, [*constants, *values])


def _translate(graph: Graph, jaxpr: Jaxpr, values: Sequence[Value]) -> list[Value]:
    """Adds a jaxpr's equations, and returns the values of its outputs."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

    def value_of(variable: Any) -> Value:
        if isinstance(variable, Literal):
            aval: Any = variable.aval
            return _constant(np.asarray(variable.val, aval.dtype))
        return known[variable]

    needed = _needed(jaxpr)
    for eqn in jaxpr.eqns:
        if not needed & set(eqn.outvars):
            continue
        results = _translate_equation(graph, eqn, [value_of(v) for v in eqn.invars])
        known.update(zip(eqn.outvars, results, strict=True))
    return [value_of(variable) for variable in jaxpr.outvars]


def _needed(jaxpr: Jaxpr) -> set[Any]:
    needed = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    for eqn in reversed(jaxpr.eqns):
        if needed & set(eqn.outvars):
            needed |= {v for v in eqn.invars if not isinstance(v, Literal)}
    return needed


def _translate_equation(graph: Graph, eqn: Any, values: list[Value]) -> Sequence[Value]:
    name = eqn.primitive.name
    if name in _INLINED:
        inner = eqn.params[_INLINED[name]]
        if isinstance(inner, ClosedJaxpr):
            return _translate_closed(graph, inner, values)
        return _translate(graph, inner, values)
    if _is_folded(eqn, values):
        return _folded(eqn, values)
    if name == "while":
        return _while(graph, eqn, values)
    if name not in _RULES:
        raise ValueError(f"format: onnx has no translation of JAX's {name!r}")
    try:
        made = _RULES[name](graph, eqn, *values)
    except NotImplementedError as error:
        raise ValueError(f"format: onnx has no translation of {error}") from error
    return made if isinstance(made, list | tuple) else [made]


def _is_folded(eqn: Any, values: Sequence[Value]) -> bool:
    """Whether an equation is computed now. Broadcasts stay what they are."""
    if any(value.constant is None for value in values) or not values:
        return False
    if eqn.primitive.name in ("broadcast_in_dim", "while"):
        return False
    shapes = [variable.aval.shape for variable in (*eqn.invars, *eqn.outvars)]
    known = all(isinstance(size, int) for shape in shapes for size in shape)
    return known and all(np.prod(shape) <= _LARGEST_FOLDED for shape in shapes)


def _folded(eqn: Any, values: Sequence[Value]) -> list[Value]:
    arrays = [value.array() for value in values]
    made = eqn.primitive.bind(*map(jax.numpy.asarray, arrays), **eqn.params)
    made = made if eqn.primitive.multiple_results else [made]
    return [_constant(np.asarray(x)) for x in made]


def _while(graph: Graph, eqn: Any, values: list[Value]) -> list[Value]:
    """A loop carries its state, and whether it goes on."""
    condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    of_condition, of_body = values[:first], values[first : first + second]
    state = values[first + second :]
    start = [graph.full(value) for value in state]
    # Forms of outer values that are made inside are not known outside.
    for value in (*of_condition, *of_body):
        if value.name is not None:
            graph.full(value)
    (goes_on,) = _translate_closed(graph, condition, [*of_condition, *state])

    inner = Graph(graph)
    avals = [variable.aval for variable in eqn.outvars]
    carried = [inner.result(inner.new_name(), aval) for aval in avals]
    outer = [value.elsewhere() for value in (*of_condition, *of_body)]
    after = _translate_closed(inner, body, [*outer[first:], *carried])
    (still,) = _translate_closed(inner, condition, [*outer[:first], *after])
    ends = [inner.node("Identity", name) for name in map(inner.full, (still, *after))]
    number, before = inner.new_name(), inner.new_name()
    heads = [tensor_info(number, np.int64, ()), tensor_info(before, bool, ())]
    heads += [tensor_info(x.name or "", x.dtype, x.shape) for x in carried]
    tails = [
        tensor_info(name, x.dtype, x.shape)
        for name, x in zip(ends, (still, *after), strict=True)
    ]
    subgraph = helper.make_graph(_used(inner.nodes, ends), "body", heads, tails)
    ended = graph.node(
        *("Loop", "", graph.full(goes_on), *start), outputs=len(state), body=subgraph
    )
    ended = [ended] if len(state) == 1 else ended
    return [graph.result(n, aval) for n, aval in zip(ended, avals, strict=True)]


def _constant(array: np.ndarray) -> Value:
    return Value(array.shape, array.dtype, constant=array)


def _used(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]
) -> list[onnx.NodeProto]:
    """Returns the nodes without those whose results nothing reads."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= _names_in([node])
            kept.append(node)
    return kept[::-1]


def _names_in(nodes: Any) -> set[str]:
    """Returns all names that nodes read, and the nodes of the graphs in them."""
    names: set[str] = set()
    for node in nodes:
        names |= set(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                names |= _names_in(attribute.g.node)
                names |= {output.name for output in attribute.g.output}
    return names
