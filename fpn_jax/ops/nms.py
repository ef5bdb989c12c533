"""Greedy non-maximum suppression of one list of boxes; `vmap` over levels, images."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from fpn_jax.ops.boxes import pairwise_iou


def nms(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, " n"],
    valid: Bool[Array, " n"],
    *,
    iou_threshold: float,
) -> Bool[Array, " n"]:
    """Returns which boxes stay when each kept box drops its lower-scored overlaps.

    A box goes when its IoU with a kept box is *strictly* above the threshold. Of equal
    scores the lower row comes first. The boxes may be in any order; invalid ones are
    never kept and drop nothing.
    """
    order = jnp.argsort(jnp.where(valid, scores, -jnp.inf), descending=True)
    keep = nms_sorted(boxes[order], valid[order], iou_threshold=iou_threshold)
    return jnp.zeros_like(valid).at[order].set(keep)


def nms_sorted(
    boxes: Float[Array, "n 4"], valid: Bool[Array, " n"], *, iou_threshold: float
) -> Bool[Array, " n"]:
    """Returns the same as `nms` for boxes that come by falling score."""
    n = len(boxes)
    column = jnp.arange(n)
    overlaps = pairwise_iou(boxes, boxes) > iou_threshold

    def drop(row, keep):
        return keep & ~(overlaps[row] & keep[row] & (column > row))

    return jax.lax.fori_loop(0, n, drop, valid)
