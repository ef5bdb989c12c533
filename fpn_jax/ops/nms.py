"""Greedy non-maximum suppression of one list of boxes; `vmap` over levels, images."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from fpn_jax.ops.boxes import pairwise_iou
from fpn_jax.ops.meshes import rows_of, varied_as
from fpn_jax.ops.platforms import by_platform
from fpn_jax.types import Detections

# Boxes that enter suppression at once: few enough that their square is cheap, enough
# that one block, or two, gives all detections.
_BLOCK = 512


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
    bits, products = (
        partial(made, iou_threshold=iou_threshold) for made in (_by_bits, _by_products)
    )
    classes = () if labels is None else (labels,)
    return by_platform(bits, boxes, scores, valid, *classes, onnx=products)


def _by_bits(boxes, scores, valid, labels=None, *, iou_threshold) -> Bool[Array, " n"]:
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
    start = varied_as((valid, jnp.zeros_like(valid)), boxes, scores, valid)
    return _repeated(
        lambda keep: valid & ~_any_bit(drops & _pack(_by_32(keep)[..., None])), start
    )


def _by_products(
    boxes, scores, valid, labels=None, *, iou_threshold
) -> Bool[Array, " n"]:
    """ONNX has no reduction of bits; it counts the boxes that drop one."""
    index = jnp.arange(len(boxes), dtype=jnp.int32)
    first = index[:, None] < index[None]
    row_scores, scores = scores[:, None], scores[None]
    higher = (row_scores > scores) | ((row_scores == scores) & first)
    overlaps = pairwise_iou(boxes, boxes) > iou_threshold
    if labels is not None:
        overlaps &= labels[:, None] == labels[None]
    drops, valid = (x.astype(jnp.float32) for x in (higher & overlaps, valid))
    kept = _repeated(
        lambda keep: valid * jnp.where(keep @ drops > 0, 0.0, 1.0),
        (valid, jnp.zeros_like(valid)),
    )
    return kept > 0


def _repeated(dropped: Callable, start: tuple) -> jax.Array:
    """Returns what no further round changes."""

    def repeat(state):
        keep, _ = state
        return dropped(keep), keep

    def changed(state):
        keep, before = state
        return (keep != before).any()

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
    Which rows are kept has no gradient; their boxes and scores have that of the input.

    Only higher boxes drop a box, so the best are decided without the rest. Here blocks
    of boxes go from the top, against those kept before them, until there are enough:
    the result is that of one suppression of all n, which may be a hundred thousand.

    Raises:
      ValueError: unless max_detections >= 1 and 0 <= iou_threshold <= 1.
    """
    if max_detections < 1:
        raise ValueError(f"max_detections is {max_detections}, and must be at least 1")

    # Of no box, and of one that is not valid, nothing is kept.
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
    rows = _kept_rows(
        jax.lax.stop_gradient(boxes),
        jax.lax.stop_gradient(scores),
        labels,
        valid,
        iou_threshold=iou_threshold,
        max_detections=max_detections,
    )
    kept = rows >= 0
    rows = jnp.maximum(rows, 0)
    # Taken by their rows after the loop, which has no reverse mode.
    return Detections(
        boxes=jnp.where(kept[:, None], boxes[rows], 0),
        scores=jnp.where(kept, scores[rows], 0),
        labels=jnp.where(kept, rows_of(labels, rows), 0),
        valid=kept,
    )


def _kept_rows(
    boxes, scores, labels, valid, *, iou_threshold, max_detections
) -> Int[Array, " d"]:
    """Returns the rows of the best boxes that suppression keeps, then -1."""

    def take_a_block(state):
        rows, left = state
        best, index = jax.lax.top_k(left, min(_BLOCK, len(left)))
        block, label = boxes[index], rows_of(labels, index)
        kept, row = rows >= 0, jnp.maximum(rows, 0)
        same = label[:, None] == rows_of(labels, row)[None]
        overlaps = pairwise_iou(block, boxes[row]) > iou_threshold
        dropped = (overlaps & same & kept[None]).any(axis=1)
        stays = nms(
            block,
            best,
            (best > -jnp.inf) & ~dropped,
            iou_threshold=iou_threshold,
            labels=label,
        )
        # The block has all higher boxes, and of equal ones the first rows.
        behind = jnp.arange(len(left), dtype=jnp.int32) > index[-1]
        stay = (left < best[-1]) | ((left == best[-1]) & behind)
        left = jnp.where(stay, left, -jnp.inf)
        return _append(rows, jnp.where(stays, index, -1)), left

    def unfinished(state):
        rows, left = state
        return (rows[-1] < 0) & (left > -jnp.inf).any()

    rows = jnp.full(max_detections, -1, jnp.int32)
    left = jnp.where(valid, scores, -jnp.inf)
    start = varied_as((rows, left), boxes, scores, labels, valid)
    return jax.lax.while_loop(unfinished, take_a_block, start)[0]


def _append(rows, others):
    """Returns rows with others behind them, without the negative ones of both.

    There is room for as many as there are in `rows`; what is left of it is -1.
    """
    rows, size = jnp.concatenate([rows, others]), len(rows)
    place = jnp.where(rows >= 0, -jnp.arange(len(rows), dtype=jnp.float32), -jnp.inf)
    # A sort, where a scatter to the places would be as good: ONNX has few scatters.
    return rows_of(rows, jax.lax.top_k(place, size)[1])


def _by_32(rows):
    """Returns [n, …] as [ceil(n / 32), 32, …], filled up with zeros: empty boxes."""
    padding = [(0, -len(rows) % 32)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding).reshape(-1, 32, *rows.shape[1:])


def _pack(bits: Bool[Array, "words 32 n"]) -> UInt32[Array, "words n"]:
    values = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    return jnp.where(bits, values[None, :, None], 0).sum(axis=1, dtype=jnp.uint32)


def _any_bit(words: UInt32[Array, "words n"]) -> Bool[Array, " n"]:
    return jax.lax.reduce(words, jnp.uint32(0), jax.lax.bitwise_or, (0,)) != 0
