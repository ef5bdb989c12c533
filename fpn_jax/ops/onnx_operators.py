"""Operators that ONNX has and JAX has not, as primitives of a trace for ONNX.

They are the `onnx` formulations of ops (`ops.platforms`), have no value in JAX, and
mean what the op means that they stand for. Each takes any batch axes first.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching

from fpn_jax.ops.roi_taps import Plan


def onnx_greedy_nms(boxes, scores, valid, labels, *, iou_threshold: float, most: int):
    """Returns which boxes [*b, n] greedy suppression keeps, class by class.

    Scores are 0 or more, labels 0 or more; `most` are kept of each class.
    """
    return _GREEDY_NMS.bind(
        boxes, scores, valid, labels, iou_threshold=iou_threshold, most=most
    )


def onnx_roi_align(plan: Plan, maps: Any, boxes: jax.Array, levels: jax.Array):
    """Returns bins [b * n, size, size, c] of boxes [b, n, 4] from maps [b, h, w, c]."""
    return _ROI_ALIGN.bind(boxes, levels, *maps, plan=plan)


def onnx_double(x: jax.Array) -> jax.Array:
    """Returns every pixel of [b, h, w, c] four times."""
    return _DOUBLE.bind(x)


def onnx_convolve_transposed(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Returns the transposed convolution [b, 2 h, 2 w, o], kernel [k, k, o, i]."""
    return _CONVOLVE_TRANSPOSED.bind(x, kernel)


def _operator(name: str, outcome: Callable[..., Any]) -> Primitive:
    primitive = Primitive(f"onnx_{name}")
    primitive.def_abstract_eval(outcome)
    return primitive


def _any_batch(primitive: Primitive) -> None:
    """Lets all inputs of a primitive get one more axis in front by `vmap`."""

    def batched(inputs, axes, **params):
        size = next(
            x.shape[axis]
            for x, axis in zip(inputs, axes, strict=True)
            if axis is not None
        )
        inputs = [
            jnp.broadcast_to(x, (size, *x.shape))
            if axis is None
            else jnp.moveaxis(x, axis, 0)
            for x, axis in zip(inputs, axes, strict=True)
        ]
        return primitive.bind(*inputs, **params), 0

    batching.primitive_batchers[primitive] = batched


def _pooled(boxes, levels, *maps, plan: Plan):
    b, n, _ = boxes.shape
    channels = maps[0].shape[-1]
    return maps[0].update(shape=(b * n, plan.size, plan.size, channels))


def _doubled(x):
    b, h, w, c = x.shape
    return x.update(shape=(b, 2 * h, 2 * w, c))


def _convolved(x, kernel):
    b, h, w, _ = x.shape
    return x.update(shape=(b, 2 * h, 2 * w, kernel.shape[2]))


_GREEDY_NMS = _operator("greedy_nms", lambda boxes, scores, valid, labels, **_: valid)
_any_batch(_GREEDY_NMS)
_ROI_ALIGN = _operator("roi_align", _pooled)
_DOUBLE = _operator("double", _doubled)
_CONVOLVE_TRANSPOSED = _operator("convolve_transposed", _convolved)
