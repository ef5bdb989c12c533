"""Convolutions, pooling and matrix products. Features go with their channels first."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpn_jax.translation.graph import Graph, Value

_NHWC, _HWIO = (0, 3, 1, 2), (3, 2, 0, 1)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _convolution(graph: Graph, eqn: Any, x: Value, kernel: Value) -> Value:
    params = eqn.params
    spec = params["dimension_numbers"]
    if (spec.lhs_spec, spec.rhs_spec, spec.out_spec) != (_NHWC, _HWIO, _NHWC):
        raise NotImplementedError(f"a convolution of {spec}")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise NotImplementedError("a convolution of dilated features")
    low, high = zip(*params["padding"], strict=True)
    name = graph.node(
        "Conv",
        graph.full(x, channels_first=True),
        _kernel(graph, kernel, _HWIO),
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
        pads=[*low, *high],
    )
    return graph.result(name, eqn.outvars[0].aval, channels_first=True)


def _kernel(graph: Graph, kernel: Value, perm: tuple[int, ...]) -> str:
    if kernel.constant is not None:
        return graph.constant(kernel.array().transpose(perm))
    return graph.node("Transpose", graph.full(kernel), perm=perm)


def _transposed_convolution(graph: Graph, eqn: Any, x: Value, kernel: Value) -> Value:
    size = kernel.shape[0]
    name = graph.node(
        "ConvTranspose",
        graph.full(x, channels_first=True),
        _kernel(graph, kernel, (3, 2, 0, 1)),  # from [k, k, o, i] to [i, o, k, k]
        strides=[2, 2],
        pads=[size // 2 - 1] * 4,
    )
    return graph.result(name, eqn.outvars[0].aval, channels_first=True)


def _max_pool(graph: Graph, eqn: Any, x: Value) -> Value:
    params = eqn.params
    (first, *window, last), (_, *strides, _) = (
        params["window_dimensions"],
        params["window_strides"],
    )
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    if (first, last) != (1, 1) or len(window) != 2 or dilated:
        raise NotImplementedError("a maximum of windows that are not of two sides")
    _, *padding, _ = params["padding"]
    low, high = zip(*padding, strict=True)
    name = graph.node(
        "MaxPool",
        graph.full(x, channels_first=True),
        kernel_shape=window,
        strides=strides,
        pads=[*low, *high],
    )
    return graph.result(name, eqn.outvars[0].aval, channels_first=True)


def _doubled(graph: Graph, eqn: Any, x: Value) -> Value:
    name = graph.node(
        "Resize",
        graph.full(x, channels_first=True),
        "",
        graph.constant(np.array([1, 1, 2, 2], np.float32)),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return graph.result(name, eqn.outvars[0].aval, channels_first=True)


def _product(graph: Graph, eqn: Any, a: Value, b: Value) -> Value:
    (a_sums, b_sums), (a_batch, b_batch) = eqn.params["dimension_numbers"]
    aval = eqn.outvars[0].aval
    names = graph.full(a), graph.full(b)
    a_rank, b_rank = len(a.shape), len(b.shape)
    if not a_batch and (a_sums, b_sums) == ((a_rank - 1,), (0,)) and b_rank == 2:
        return graph.result(graph.node("MatMul", *names), aval)
    letters = iter(_LETTERS)
    a_axes = [next(letters) for _ in a.shape]
    b_axes = ["" for _ in b.shape]
    for ours, theirs in ((a_sums, b_sums), (a_batch, b_batch)):
        for i, j in zip(ours, theirs, strict=True):
            b_axes[j] = a_axes[i]
    b_axes = [letter or next(letters) for letter in b_axes]
    result = [a_axes[i] for i in a_batch]
    result += [a_axes[i] for i in range(a_rank) if i not in {*a_sums, *a_batch}]
    result += [b_axes[j] for j in range(b_rank) if j not in {*b_sums, *b_batch}]
    equation = f"{''.join(a_axes)},{''.join(b_axes)}->{''.join(result)}"
    return graph.result(graph.node("Einsum", *names, equation=equation), aval)


RULES: dict[str, Callable[..., Any]] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "reduce_window_max": _max_pool,
    "onnx_convolve_transposed": _transposed_convolution,
    "onnx_double": _doubled,
}
