"""Boxes are xyxy in pixels, float32 inside whatever comes in; `*b` is any batch."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Real

# Sides grow at most as from a 16 px box to the 1000 px image (Fast R-CNN, the code).
_MAX_LOG_SIDE = math.log(1000 / 16)

Number = int | float
Weights = tuple[Number, Number, Number, Number]
"""Factors of the deltas (dx, dy, dw, dh)."""


def area(boxes: Real[Array, "*b n 4"]) -> Float[Array, "*b n"]:
    """Returns areas in square pixels, 0 for a box of no width or height."""
    x1, y1, x2, y2 = _corners(boxes)
    # The maximum also keeps compilers from contracting the product and a later sum to
    # one fused multiply-add, whose last bit differs: see pairwise_iou.
    return jnp.maximum((x2 - x1) * (y2 - y1), 0)


def pairwise_iou(
    a: Real[Array, "*b n 4"], b: Real[Array, "*b m 4"]
) -> Float[Array, "*b n m"]:
    """Returns the intersection over union of every box of `a` with every box of `b`.

    Two empty boxes have IoU 0, not NaN. The order of operations is torchvision's, so
    that ties between float32 values are ties there too.
    """
    ax1, ay1, ax2, ay2 = _corners(a[..., :, None, :])
    bx1, by1, bx2, by2 = _corners(b[..., None, :, :])
    width = jnp.maximum(jnp.minimum(ax2, bx2) - jnp.maximum(ax1, bx1), 0)
    height = jnp.maximum(jnp.minimum(ay2, by2) - jnp.maximum(ay1, by1), 0)
    intersection = width * height
    union = area(a)[..., :, None] + area(b)[..., None, :] - intersection
    return intersection / jnp.where(union > 0, union, 1)


def iou(a: Real[Array, "*#b 4"], b: Real[Array, "*#b 4"]) -> Float[Array, "*#b"]:
    """Returns the intersection over union of each box of `a` with its own of `b`.

    Finite, and so is its gradient, for boxes without width or height.
    """
    intersection, union = _intersection_and_union(a, b)
    return intersection / jnp.where(union > 0, union, 1)


def giou(a: Real[Array, "*#b 4"], b: Real[Array, "*#b 4"]) -> Float[Array, "*#b"]:
    """Returns the generalized IoU of each box of `a` with its own of `b`, in -1 … 1.

    IoU less the share of the smallest enclosing box that neither covers (Rezatofighi et
    al. 2019, eq. 2); 0 where both boxes are the same point. Finite, and so is its
    gradient, for boxes without width or height.
    """
    ax1, ay1, ax2, ay2 = _corners(a)
    bx1, by1, bx2, by2 = _corners(b)
    intersection, union = _intersection_and_union(a, b)
    hull = (jnp.maximum(ax2, bx2) - jnp.minimum(ax1, bx1)) * (
        jnp.maximum(ay2, by2) - jnp.minimum(ay1, by1)
    )
    covered = intersection / jnp.where(union > 0, union, 1)
    return covered - (hull - union) / jnp.where(hull > 0, hull, 1)


def clip(
    boxes: Real[Array, "*b n 4"], sizes: Real[Array, "*b 2"]
) -> Float[Array, "*b n 4"]:
    """Returns the boxes cut off at the border of their image; sizes are (h, w)."""
    height, width = sizes[..., 0], sizes[..., 1]
    high = jnp.stack([width, height, width, height], axis=-1)[..., None, :]
    return jnp.clip(boxes.astype(jnp.float32), 0, high.astype(jnp.float32))


def encode_deltas(
    boxes: Real[Array, "*#b 4"],
    anchors: Real[Array, "*#b 4"],
    weights: Weights = (1, 1, 1, 1),
) -> Float[Array, "*#b 4"]:
    """Returns the deltas (dx, dy, dw, dh) that turn each anchor into its box.

    dx = (x - xa) / wa and dw = log(w / wa) with centers x and sides w, each times its
    weight (R-CNN, appendix C). A side of 0, as padding has, counts as 1: finite.
    """
    x, y, w, h = _center_and_sides(boxes)
    xa, ya, wa, ha = _center_and_sides(anchors)
    w, h, wa, ha = (jnp.where(side > 0, side, 1) for side in (w, h, wa, ha))
    wx, wy, ww, wh = weights
    return jnp.stack(
        [
            wx * (x - xa) / wa,
            wy * (y - ya) / ha,
            ww * jnp.log(w / wa),
            wh * jnp.log(h / ha),
        ],
        axis=-1,
    )


def decode_deltas(
    deltas: Real[Array, "*#b 4"],
    anchors: Real[Array, "*#b 4"],
    weights: Weights = (1, 1, 1, 1),
    *,
    max_log_side: float = _MAX_LOG_SIDE,
) -> Float[Array, "*#b 4"]:
    """Returns the boxes that the deltas make of the anchors: inverse of encode_deltas.

    dw and dh are cut at `max_log_side`, log(1000 / 16), so that an untrained network
    makes no infinite box. Boxes are not clipped to the image.
    """
    dx, dy, dw, dh = jnp.moveaxis(deltas.astype(jnp.float32), -1, 0)
    xa, ya, wa, ha = _center_and_sides(anchors)
    wx, wy, ww, wh = weights
    x, y = dx / wx * wa + xa, dy / wy * ha + ya
    w = jnp.exp(jnp.minimum(dw / ww, max_log_side)) * wa
    h = jnp.exp(jnp.minimum(dh / wh, max_log_side)) * ha
    return jnp.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=-1)


def encode_ltrb(
    boxes: Real[Array, "*#b 4"], points: Real[Array, "*#b 2"]
) -> Float[Array, "*#b 4"]:
    """Returns the distances from each point to the left, top, right and bottom of its
    box: all positive where the point is inside, two of them summing to a side.
    """
    x1, y1, x2, y2 = _corners(boxes)
    x, y = jnp.moveaxis(points.astype(jnp.float32), -1, 0)
    return jnp.stack([x - x1, y - y1, x2 - x, y2 - y], axis=-1)


def decode_ltrb(
    distances: Real[Array, "*#b 4"], points: Real[Array, "*#b 2"]
) -> Float[Array, "*#b 4"]:
    """Returns the boxes with these distances from the points (of encode_ltrb)."""
    left, top, right, bottom = _corners(distances)
    x, y = jnp.moveaxis(points.astype(jnp.float32), -1, 0)
    return jnp.stack([x - left, y - top, x + right, y + bottom], axis=-1)


def _intersection_and_union(a: Real[Array, "*#b 4"], b: Real[Array, "*#b 4"]):
    ax1, ay1, ax2, ay2 = _corners(a)
    bx1, by1, bx2, by2 = _corners(b)
    width = jnp.minimum(ax2, bx2) - jnp.maximum(ax1, bx1)
    height = jnp.minimum(ay2, by2) - jnp.maximum(ay1, by1)
    # Not a maximum with 0, whose gradient at 0 is a half.
    intersection = jnp.where((width > 0) & (height > 0), width * height, 0)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - intersection
    return intersection, union


def _corners(boxes: Real[Array, "*b 4"]):
    return jnp.moveaxis(boxes.astype(jnp.float32), -1, 0)


def _center_and_sides(boxes: Real[Array, "*b 4"]):
    x1, y1, x2, y2 = _corners(boxes)
    w, h = x2 - x1, y2 - y1
    return x1 + w / 2, y1 + h / 2, w, h
