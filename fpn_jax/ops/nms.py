"""Greedy non-maximum suppression of one list of boxes; `vmap` over levels, images."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from fpn_jax.ops.boxes import pairwise_iou


def nms(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    valid: Bool[Array, " n"],
    *,
    iou_threshold: float,
) -> Bool[Array, " n"]:
    """Returns which boxes stay when each kept box drops the lower boxes it overlaps.

    A box is dropped by a kept box of higher score if their IoU is *strictly* above the
    threshold, both float32. Of equal scores the first row is the higher one. The boxes
    come in any order. Invalid boxes are not kept and drop nothing.

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
    n = len(boxes)
    row_boxes, row_scores, row_index = map(_by_32, (boxes, scores, jnp.arange(n)))
    row_scores, scores = row_scores[..., None], scores[None, None]
    first = row_index[..., None] < jnp.arange(n)[None, None]
    higher = (row_scores > scores) | ((row_scores == scores) & first)
    columns = jnp.broadcast_to(boxes, (len(row_boxes), n, 4))
    overlaps = pairwise_iou(row_boxes, columns) > iou_threshold
    drops = _pack(higher & overlaps)

    def repeat(state):
        keep, _ = state
        kept = _pack(_by_32(keep)[..., None])
        return valid & ~_any_bit(drops & kept), keep

    def changed(state):
        keep, before = state
        return (keep != before).any()

    start = valid, jnp.zeros_like(valid)
    return jax.lax.while_loop(changed, repeat, start)[0]


def _by_32(rows):
    """Returns [n, …] as [ceil(n / 32), 32, …], filled up with zeros: empty boxes."""
    padding = [(0, -len(rows) % 32)] + [(0, 0)] * (rows.ndim - 1)
    return jnp.pad(rows, padding).reshape(-1, 32, *rows.shape[1:])


def _pack(bits: Bool[Array, "words 32 n"]) -> UInt32[Array, "words n"]:
    values = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    return jnp.where(bits, values[None, :, None], 0).sum(axis=1, dtype=jnp.uint32)


def _any_bit(words: UInt32[Array, "words n"]) -> Bool[Array, " n"]:
    return jax.lax.reduce(words, jnp.uint32(0), jax.lax.bitwise_or, (0,)) != 0
