"""Greedy non-maximum suppression of one list of boxes; `vmap` over levels, images."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from fpn_jax.ops.boxes import pairwise_iou
from fpn_jax.ops.meshes import rows_of, varied_as
from fpn_jax.ops.onnx_operators import onnx_greedy_nms
from fpn_jax.ops.platforms import at_lowering
from fpn_jax.types import Detections

# Boxes that enter suppression at once: few enough that their square is cheap, enough
# that one block, or two, gives all detections.
_BLOCK = 512
_ANY_NUMBER = 2**31 - 1


def nms(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    valid: Bool[Array, " n"],
    *,
    iou_threshold: float,
    labels: Int[Array, " n"] | None = None,
) -> Bool[Array, " n"]:
    """Returns which boxes stay when each kept box drops the lower boxes it overlaps.

    A box is dropped by a kept box of higher score if their IoU is *strictly* above the
    threshold, both float32. Of equal scores the first row is the higher one. The boxes
    come in any order. Invalid boxes are not kept and drop nothing. With `labels`, only
    boxes of the same label drop each other.

    The greedy loop over falling scores has one result, the only `keep` with
    `keep[j] = valid[j] and no i that is higher, overlaps j and has keep[i]`. Found here
    by repeating that line for all j at once: after r rounds every box with less than r
    droppers in a row above it is right. That takes 2 to 10 rounds on proposals (n at
    most), no sorting, and each round reads n * n bits, since boxes i are packed by 32.

    Raises:
      ValueError: unless 0 <= iou_threshold <= 1.
    """
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold is {iou_threshold}, not between 0 and 1")
    formulations = {
        "default": partial(_by_bits, iou_threshold=iou_threshold),
        "onnx": partial(_by_operator, iou_threshold=iou_threshold),
    }
    return at_lowering(formulations, boxes, scores, valid, labels)


def _by_operator(
    boxes, scores, valid, labels, *, iou_threshold, most=_ANY_NUMBER
) -> Bool[Array, " n"]:
    if labels is None:
        labels = jnp.zeros(len(boxes), jnp.int32)
    return onnx_greedy_nms(
        boxes, scores, valid, labels, iou_threshold=iou_threshold, most=most
    )


def _by_bits(boxes, scores, valid, labels, *, iou_threshold) -> Bool[Array, " n"]:
    n = len(boxes)
    index = jnp.arange(n, dtype=jnp.int32)
    row_boxes, row_scores, row_index = map(_by_32, (boxes, scores, index))
    row_scores, scores = row_scores[..., None], scores[None, None]
    first = row_index[..., None] < index[None, None]
    higher = (row_scores > scores) | ((row_scores == scores) & first)
    columns = jnp.broadcast_to(boxes, (len(row_boxes), n, 4))
    overlaps = pairwise_iou(row_boxes, columns) > iou_threshold
    if labels is not None:
        overlaps &= _by_32(labels)[..., None] == labels[None, None]
    drops = _pack(higher & overlaps)

    def repeat(state):
        keep, _ = state
        kept = _pack(_by_32(keep)[..., None])
        return valid & ~_any_bit(drops & kept), keep

    def changed(state):
        keep, before = state
        return (keep != before).any()

    start = varied_as((valid, jnp.zeros_like(valid)), boxes, scores, valid)
    return jax.lax.while_loop(changed, repeat, start)[0]


def select_detections(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    labels: Int[Array, " n"],
    valid: Bool[Array, " n"],
    *,
    iou_threshold: float,
    max_detections: int,
) -> Detections:
    """Returns the best `max_detections` boxes of one image that its nms class by class
    keeps, by falling score; rows that are not valid are zero.

    Scores must be finite where valid. Of equal scores the first row is the higher one.
    The choice of rows has no gradient; the gradient of boxes and scores is the input's.

    Only higher boxes drop a box, so the best are decided without the rest. Here blocks
    of boxes go from the top, against those kept before them, until there are enough:
    the result is that of one suppression of all n, which may be a hundred thousand.

    Raises:
      ValueError: unless max_detections >= 1 and 0 <= iou_threshold <= 1.
    """
    if max_detections < 1:
        raise ValueError(f"max_detections is {max_detections}, and must be at least 1")

    # Nothing is kept of no box, nor of one that is not valid.
    missing = (0, max(0, 1 - len(boxes)))
    valid = jnp.pad(valid, missing)
    boxes, scores, labels = (
        jnp.pad(x.astype(dtype), [missing] + [(0, 0)] * (x.ndim - 1))
        for x, dtype in (
            (boxes, jnp.float32),
            (scores, jnp.float32),
            (labels, jnp.int32),
        )
    )
    limits = {"iou_threshold": iou_threshold, "max_detections": max_detections}
    formulations = {
        "default": partial(_kept_rows, **limits),
        "onnx": partial(_kept_rows_at_once, **limits),
    }
    rows, kept = at_lowering(
        formulations,
        jax.lax.stop_gradient(boxes),
        jax.lax.stop_gradient(scores),
        labels,
        valid,
    )
    # Taken by their rows after the loop, which has no reverse mode.
    return Detections(
        boxes=jnp.where(kept[:, None], boxes[rows], 0),
        scores=jnp.where(kept, scores[rows], 0),
        labels=jnp.where(kept, rows_of(labels, rows), 0),
        valid=kept,
    )


def _kept_rows(
    boxes, scores, labels, valid, *, iou_threshold, max_detections
) -> tuple[Int[Array, " d"], Bool[Array, " d"]]:
    """Returns the rows of the best boxes that suppression keeps, and which are any."""

    def take_a_block(state):
        rows, kept, left = state
        best, index = jax.lax.top_k(left, min(_BLOCK, len(left)))
        block, label = boxes[index], rows_of(labels, index)
        same = label[:, None] == rows_of(labels, rows)[None]
        overlaps = pairwise_iou(block, boxes[rows]) > iou_threshold
        dropped = (overlaps & same & kept[None]).any(axis=1)
        stays = nms(
            block,
            best,
            (best > -jnp.inf) & ~dropped,
            iou_threshold=iou_threshold,
            labels=label,
        )
        return *_append(rows, kept, index, stays), left.at[index].set(-jnp.inf)

    def unfinished(state):
        _, kept, left = state
        return ~kept.all() & (left > -jnp.inf).any()

    rows = jnp.zeros(max_detections, jnp.int32)
    left = jnp.where(valid, scores, -jnp.inf)
    start = varied_as((rows, rows > 0, left), boxes, scores, labels, valid)
    return jax.lax.while_loop(unfinished, take_a_block, start)[:2]


def _kept_rows_at_once(
    boxes, scores, labels, valid, *, iou_threshold, max_detections
) -> tuple[Int[Array, " d"], Bool[Array, " d"]]:
    """Returns the same by one suppression of all: ONNX has an operator for it."""
    keep = _by_operator(
        *(boxes, scores, valid, labels),
        iou_threshold=iou_threshold,
        most=max_detections,
    )
    missing = max(0, max_detections - len(scores))
    ranks = jnp.pad(jnp.where(keep, scores, -1), (0, missing), constant_values=-1)
    best, rows = jax.lax.top_k(ranks, max_detections)
    return jnp.where(best >= 0, rows, 0), best >= 0


def _append(rows, kept, index, stays):
    """Returns the kept rows with those that stay behind them, while there is room."""
    place = jnp.sum(kept, dtype=jnp.int32) + jnp.cumsum(stays, dtype=jnp.int32) - 1
    place = jnp.where(stays, place, len(kept))  # out of bounds: left out
    return (
        rows.at[place].set(index, mode="drop"),
        kept.at[place].set(True, mode="drop"),
    )


def _by_32(rows):
    """Returns [n, …] as [ceil(n / 32), 32, …], filled up with zeros: empty boxes."""
    padding = [(0, -len(rows) % 32)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding).reshape(-1, 32, *rows.shape[1:])


def _pack(bits: Bool[Array, "words 32 n"]) -> UInt32[Array, "words n"]:
    values = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    return jnp.where(bits, values[None, :, None], 0).sum(axis=1, dtype=jnp.uint32)


def _any_bit(words: UInt32[Array, "words n"]) -> Bool[Array, " n"]:
    return jax.lax.reduce(words, jnp.uint32(0), jax.lax.bitwise_or, (0,)) != 0
