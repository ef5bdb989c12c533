"""Matches the anchors (or proposals) of one image with its ground truth."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fpn_jax.ops.boxes import area, encode_ltrb, pairwise_iou
from fpn_jax.ops.meshes import varied_as
from fpn_jax.ops.platforms import by_platform
from fpn_jax.types import exportable


@exportable
class Assignment(NamedTuple):
    """A row of the ground truth for each anchor; neither flag set means ignored."""

    index: jax.Array  # [*b, n] int32, the best row; meaningful where positive
    positive: jax.Array  # [*b, n] bool
    negative: jax.Array  # [*b, n] bool


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

    iou, index, is_a_best = by_platform(
        partial(best_boxes, at_once=128),
        *(anchors, boxes, valid),
        cpu=partial(best_boxes, at_once=8),
    )
    positive = iou >= positive_iou
    if low_quality:
        positive |= is_a_best
    return Assignment(index, positive, ~positive & (iou < negative_iou))


def best_boxes(
    anchors: Float[Array, "n 4"],
    boxes: Float[Array, "g 4"],
    valid: Bool[Array, " g"],
    *,
    at_once: int,
) -> tuple[Float[Array, " n"], Int[Array, " n"], Bool[Array, " n"]]:
    """Returns the IoU and the row of each anchor's best box, and if it is a box's best.

    IoUs are of `at_once` boxes: those of all would take 107 MB for an image with 268k
    anchors and 100 boxes. On a CPU 8 at once are three times faster than one; compiled
    for a TPU, which keeps none of them, 128 at once take half of the time of 8.
    """

    def add_block(best, block):
        best_iou, best_index, is_a_best = best
        boxes, valid, first = block
        iou = jnp.where(valid[:, None], pairwise_iou(boxes, anchors), -1)
        better = iou.max(axis=0) > best_iou
        top = iou.max(axis=1, keepdims=True)
        return (
            jnp.where(better, iou.max(axis=0), best_iou),
            jnp.where(better, first + _first(jax.lax.argmax, iou, 0), best_index),
            is_a_best | ((iou == top) & (top > 0)).any(axis=0),
        ), None

    n = len(anchors)
    at_once = min(at_once, _up_to_tiles(len(boxes)))
    start = (
        jnp.full(n, -1, jnp.float32),
        jnp.zeros(n, jnp.int32),
        jnp.zeros(n, bool),
    )
    start = varied_as(start, anchors, boxes, valid)
    best, _ = jax.lax.scan(add_block, start, _blocks(boxes, valid, at_once))
    return best


def match_by_center(
    points: Float[Array, "n 2"],
    boxes: Float[Array, "g 4"],
    valid: Bool[Array, " g"],
    *,
    radius: int | float,
    min_distance: int | float,
    max_distance: int | float,
) -> Assignment:
    """Returns the assignment of each point of a level to the smallest box that wants
    it; points that no box wants are negative.

    A box wants the points strictly inside it that are less than `radius` pixels from
    its center, in x and in y, and whose farthest side of the box is between the two
    distances, which makes it an object of this level (FCOS, section 3.2; the radius is
    of its later version). Padding boxes want none.

    Boxes count as equally small within float32 steps of 1e8 - area, 8 square pixels:
    then the first row wins, as in torchvision.
    """
    distances = encode_ltrb(boxes[None], points[:, None])
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    offsets = jnp.abs(points[:, None] - centers[None]).max(axis=-1)
    farthest = distances.max(axis=-1)
    wanted = (
        valid[None]
        & (offsets < radius)
        & (distances.min(axis=-1) > 0)
        & (farthest > min_distance)
        & (farthest < max_distance)
    )
    smallness = jnp.where(wanted, 1e8 - area(boxes)[None], 0)
    positive = wanted.any(axis=1)
    index = _first(jax.lax.argmax, smallness, 1)
    return Assignment(index, positive, ~positive)


def match_by_cost(
    cost: Float[Array, "n g"],
    iou: Float[Array, "n g"],
    candidate: Bool[Array, "n g"],
    *,
    num_candidates: int,
) -> Assignment:
    """Returns the assignment of each prediction to the box that it costs least.

    Each box takes the k candidates of least cost; k is the sum of its `num_candidates`
    largest IoUs with candidates, rounded down, at least 1 (YOLOX, section 2.1: SimOTA).
    A prediction that several boxes take goes to the one of them of least cost (the
    authors' code: of all boxes, also of those that did not take it). At equal costs the
    first row, or the first box, wins. A box without candidates, as padding, takes none.
    All that is not taken is negative.

    Example: a box with IoUs (0.9, 0.8, 0.4) and costs (3, 1, 2) takes k = 2: the rows
    1 and 2.
    """
    num = min(num_candidates, len(cost))
    ious, _ = jax.lax.top_k(jnp.where(candidate, iou, 0).T, num)
    k = jnp.maximum(ious.sum(axis=1).astype(jnp.int32), 1)
    least, rows = jax.lax.top_k(-jnp.where(candidate, cost, jnp.inf).T, num)
    taken = (jnp.arange(num, dtype=jnp.int32)[None] < k[:, None]) & (least > -jnp.inf)
    columns = jnp.arange(len(k), dtype=jnp.int32)
    columns = varied_as(jnp.broadcast_to(columns[:, None], rows.shape), rows)
    nothing = varied_as(jnp.zeros(cost.shape, bool), cost)
    wanted = nothing.at[rows, columns].max(taken)
    index = _first(jax.lax.argmin, jnp.where(wanted, cost, jnp.inf), 1)
    positive = wanted.any(axis=1)
    return Assignment(index, positive, ~positive)


def _first(best: Callable, values: Float[Array, "n m"], axis: int) -> Int[Array, " _"]:
    """Returns the first place of the best of an axis: int32, and 0 where it is empty.

    `jnp.argmax` gives int64 in double precision, and refuses an empty axis.
    """
    if values.shape[axis] == 0:
        return jnp.zeros_like(values, jnp.int32, shape=values.shape[1 - axis])
    return best(values, axis, jnp.int32)


def _up_to_tiles(number: int) -> int:
    """Returns the next multiple of 8, which a TPU pads to; other numbers of boxes make
    it keep IoUs apart, and took 3.5 times as long."""
    return max(8, number + -number % 8)


def _blocks(boxes: Float[Array, "g 4"], valid: Bool[Array, " g"], size: int):
    """Returns boxes and flags, so many at a time, and the first row of each time."""
    padding = (0, -len(boxes) % size)
    boxes = jnp.pad(boxes, (padding, (0, 0))).reshape(-1, size, 4)
    valid = jnp.pad(valid, padding).reshape(-1, size)
    return boxes, valid, size * jnp.arange(len(boxes), dtype=jnp.int32)
