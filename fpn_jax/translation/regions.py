"""The two operators of detectors that ONNX has itself: suppression and RoIAlign."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpn_jax.translation.graph import Graph, Value


def _suppression(
    graph: Graph, eqn: Any, boxes: Value, scores: Value, valid: Value, labels: Value
) -> Value:
    """Valid boxes of all images are one list; an image's class is a class of its own.

    Scores must be above -1/2.
    """
    n = valid.shape[-1]
    is_valid = graph.node("Reshape", graph.full(valid), graph.ints(-1, n))
    rows = graph.node("Transpose", graph.node("NonZero", is_valid), perm=[1, 0])

    def of_rows(value: Value, *last: int) -> str:
        table = graph.node("Reshape", graph.full(value), graph.ints(-1, n, *last))
        return graph.node("GatherND", table, rows)

    # One box more, which is not kept: of no box at all onnxruntime makes an error.
    def with_one(name: str, one: Any) -> str:
        return graph.node("Concat", name, graph.constant(one), axis=0)

    zero = np.zeros(1, np.int64)
    label = with_one(graph.cast(of_rows(labels), np.int64), zero)
    image = graph.node("Slice", rows, *(graph.ints(x) for x in (0, 1, 1)))
    image = with_one(graph.node("Squeeze", image, graph.ints(1)), zero)
    found = with_one(of_rows(boxes, 4), np.zeros((1, 4), np.float32))
    score = with_one(of_rows(scores), np.full(1, -1, np.float32))

    one = graph.constant(np.int64(1))
    classes, images = (
        graph.node("Add", graph.node("ReduceMax", x, keepdims=0), one)
        for x in (label, image)
    )
    number = graph.node("Add", graph.node("Mul", image, classes), label)
    end = graph.node("Mul", images, classes)
    every = graph.node("Range", graph.constant(np.int64(0)), end, one)
    every = graph.node("Unsqueeze", every, graph.ints(1))
    of_class = graph.node("Equal", every, number)
    none = graph.constant(np.array(-1, np.float32))
    score = graph.node("Where", of_class, score, none)
    kept = graph.node(
        "NonMaxSuppression",
        graph.node("Unsqueeze", found, graph.ints(0)),
        graph.node("Unsqueeze", score, graph.ints(0)),
        graph.ints(min(eqn.params["most"], np.iinfo(np.int32).max)),
        graph.constant(np.array([eqn.params["iou_threshold"]], np.float32)),
        graph.constant(np.array([-0.5], np.float32)),
    )
    kept = graph.node("Slice", kept, *(graph.ints(x) for x in (2, 3, 1)))
    kept = graph.node("GatherND", rows, kept)
    yes = graph.node("Slice", graph.node("Shape", kept), *map(graph.ints, (0, 1)))
    yes = graph.node("Expand", graph.constant(np.ones(1, np.float32)), yes)
    no = graph.cast(is_valid, np.float32)
    no = graph.node("Mul", no, graph.constant(np.float32(0)))
    stays = graph.cast(graph.node("ScatterND", no, kept, yes), bool)
    aval = eqn.outvars[0].aval
    return graph.result(graph.reshaped(stays, aval.shape), aval)


def _roi_align(graph: Graph, eqn: Any, boxes: Value, levels: Value, *maps: Value):
    """Each level pools its own boxes; then they are put back into their order."""
    plan, aval = eqn.params["plan"], eqn.outvars[0].aval
    level, box = graph.full(levels), graph.full(boxes)
    n = boxes.shape[-2]
    pooled, places = [], []
    for number, (features, scale) in enumerate(zip(maps, plan.scales, strict=True)):
        here = graph.node("Equal", level, graph.constant(np.int32(number)))
        rows = graph.node("NonZero", here)  # image, box
        image, row = (
            graph.node(
                "Squeeze",
                graph.node("Slice", rows, *map(graph.ints, (i, i + 1, 0))),
                graph.ints(0),
            )
            for i in (0, 1)
        )
        place = graph.node("Mul", image, graph.constant(np.int64(n)))
        places.append(graph.node("Add", place, row))
        pooled.append(
            graph.node(
                "RoiAlign",
                graph.full(features, channels_first=True),
                graph.node("GatherND", box, graph.node("Transpose", rows, perm=[1, 0])),
                image,
                coordinate_transformation_mode=(
                    "half_pixel" if plan.aligned else "output_half_pixel"
                ),
                output_height=plan.size,
                output_width=plan.size,
                sampling_ratio=plan.sampling_ratio,
                spatial_scale=scale,
            )
        )
    if len(maps) > 1:
        place = graph.node("Concat", *places, axis=0)
        every = graph.node("Shape", place)
        numbers = graph.node(
            "Range",
            graph.constant(np.int64(0)),
            graph.node("Squeeze", every),
            graph.constant(np.int64(1)),
        )
        none = graph.node("ConstantOfShape", every, value=_zero())
        order = graph.node("ScatterElements", none, place, numbers, axis=0)
        found = graph.node("Gather", graph.node("Concat", *pooled, axis=0), order)
    else:
        found = pooled[0]
    return graph.result(found, aval, channels_first=True)


def _zero() -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.zeros(1, np.int64))


RULES: dict[str, Callable[..., Any]] = {
    "onnx_greedy_nms": _suppression,
    "onnx_roi_align": _roi_align,
}
