"""Which ground truth each anchor (or proposal) of one image is trained towards."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fpn_jax.ops.boxes import pairwise_iou


@flax.struct.dataclass
class Assignment:
    """A row of the ground truth for each anchor; neither flag set means ignored."""

    index: Int[Array, " n"]  # int32, the best row; meaningful where positive
    positive: Bool[Array, " n"]
    negative: Bool[Array, " n"]


def match_by_iou(
    anchors: Float[Array, "n 4"],
    boxes: Float[Array, "g 4"],
    valid: Bool[Array, " g"],
    *,
    positive_iou: float,
    negative_iou: float,
    low_quality: bool,
) -> Assignment:
    """Returns the assignment of each anchor to the box that it overlaps most.

    An anchor is positive from `positive_iou` on, negative below `negative_iou`, and
    ignored between (Faster R-CNN, section 3.1.2). Of boxes with equal IoU the first row
    wins. With `low_quality`, the anchors that overlap a box more than all others do
    become positive too, all of them at a tie, each for *its own* best box, which may be
    another one: so does torchvision.

    Padding boxes never match. A box that overlaps no anchor matches none (torchvision
    makes every anchor that overlaps nothing a positive then). Without a valid box all
    anchors are negative.

    Example: boxes A and B; anchor 0 has IoU (0.6, 0.5), anchor 1 has (0.1, 0.4). At
    0.7/0.3 with low quality, anchor 0 is A's best and B's best, and gets A; anchor 1 is
    ignored.

    Raises:
      ValueError: unless 0 <= negative_iou <= positive_iou <= 1.
    """
    if not 0 <= negative_iou <= positive_iou <= 1:
        raise ValueError(
            f"negative_iou = {negative_iou} and positive_iou = {positive_iou} are not "
            "in the order 0 <= negative_iou <= positive_iou <= 1"
        )

    # One row of the IoU matrix at a time: whole, it takes 107 MB for one image with
    # 268k anchors and 100 boxes.
    def add_box(best, row):
        best_iou, best_index, is_a_best = best
        box, index, is_valid = row
        iou = pairwise_iou(anchors, box[None])[:, 0]
        iou = jnp.where(is_valid, iou, -1)
        top = iou.max()
        better = iou > best_iou
        return (
            jnp.where(better, iou, best_iou),
            jnp.where(better, index, best_index),
            is_a_best | ((iou == top) & (top > 0)),
        ), None

    n, g = len(anchors), len(boxes)
    start = jnp.full(n, -1.0), jnp.zeros(n, jnp.int32), jnp.zeros(n, bool)
    rows = boxes, jnp.arange(g, dtype=jnp.int32), valid
    (iou, index, is_a_best), _ = jax.lax.scan(add_box, start, rows)
    positive = iou >= positive_iou
    if low_quality:
        positive |= is_a_best
    return Assignment(index, positive, ~positive & (iou < negative_iou))
