"""The head of FCOS (Tian et al. 2019, section 3; the later version: arXiv 2006.09214).

Two towers of convolutions, shared over the levels, give every point one logit per
class, the distances to the four sides of its box, and the centerness of the point in
it. Points are ordered by level, finest first, then by row and column. Boxes are xyxy
pixels of the canvas.
"""

import math
from functools import partial
from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from fpn_jax.heads.tower import tower
from fpn_jax.layers import Conv, Dtype
from fpn_jax.ops.anchors import grids_of, pyramid_points
from fpn_jax.ops.boxes import clip, decode_ltrb, encode_ltrb, giou
from fpn_jax.ops.images import is_image
from fpn_jax.ops.losses import focal
from fpn_jax.ops.matching import match_by_center
from fpn_jax.ops.nms import select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.small_tables import objects_at
from fpn_jax.ops.top_pairs import top_pairs
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets, exportable


@exportable
@flax.struct.dataclass
class FCOSOutputs:
    """Raw outputs of the network for every point, by level."""

    logits: Pyramid  # {level: [B, H, W, K]}
    deltas: Pyramid  # {level: [B, H, W, 4]} left, top, right, bottom >= 0, in strides
    centerness: Pyramid  # {level: [B, H, W, 1]} logits


class FCOSHead(nn.Module):
    """Raw outputs of a pyramid; loss and detections made from them."""

    num_classes: int  # Number of classes, without the background.
    # Distance of the points: "canvas" divides the canvas by the grid, as torchvision
    # does; "level" is 2**level. All other lengths of a level are in units of 2**level.
    stride_rule: Literal["canvas", "level"] = "canvas"
    num_convs: int = 4  # Number of convolutions of each tower.
    prior: float = 0.01  # Probability of every class at each place before training.
    # Distance in strides from the center of an object in which points are positive.
    center_radius: float = 1.5
    # Range in strides of the farthest side of the objects of a level; the finest level
    # takes smaller ones as well, the coarsest larger ones.
    distance_range: tuple[float, float] = (4.0, 8.0)
    focal_alpha: float = 0.25  # Weight of the positives in the focal loss.
    # Exponent of the focal loss, which lowers the weight of easy points.
    focal_gamma: float = 2.0
    score_threshold: float = 0.2  # Lowest score of a detection.
    # Best pairs of point and class of each level that enter suppression.
    pre_nms: int = 1000
    # IoU above which the lower of two boxes of a class is dropped.
    nms_threshold: float = 0.6
    max_detections: int = 100  # Most detections of an image.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> FCOSOutputs:
        """Returns logits, distances and centerness for every level of `pyramid`."""
        del train  # no norm of this head knows the difference
        channels = next(iter(pyramid.values())).shape[-1]
        conv = partial(Conv, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype)
        hidden = partial(conv, channels, norm="group")
        to_logits = conv(
            self.num_classes,
            bias_init=nn.initializers.constant(-math.log(1 / self.prior - 1)),
            name="class_logits",
        )
        to_deltas = conv(4, name="box_deltas")
        to_centerness = conv(1, name="centerness")
        towers = partial(tower, pyramid, hidden, num_convs=self.num_convs)
        (logits,) = towers([to_logits], name="class")
        deltas, centers = towers([to_deltas, to_centerness], name="box")
        return FCOSOutputs(
            logits=logits,
            deltas={level: nn.relu(x) for level, x in deltas.items()},
            centerness=centers,
        )

    def loss(
        self,
        outputs: FCOSOutputs,
        sizes: jax.Array,
        targets: Targets,
        *,
        canvas: tuple[int, int],
        keys: jax.Array | None = None,
    ) -> dict[str, LossTerm]:
        """Returns `class`, `box` and `centerness`, all over the positives of the batch.

        Focal loss of all points; GIoU loss and binary cross-entropy of the centerness
        of the positives. Crowd regions want no points: those on them are negatives. An
        image of size 0 (`sizes [B, 2]`) is padding of the batch and does not count.
        """
        del keys  # every position counts: nothing is drawn
        targets = learnable(targets, sizes)
        sums = jax.vmap(partial(self._image_loss, canvas=canvas))(
            outputs, targets.boxes, targets.labels, targets.valid
        )
        real = is_image(sizes)
        class_loss, box_loss, centerness_loss, count = (
            jnp.sum(x, where=real) for x in sums
        )
        return {
            "class": LossTerm(class_loss, count),
            "box": LossTerm(box_loss, count),
            "centerness": LossTerm(centerness_loss, count),
        }

    def detections(
        self, outputs: FCOSOutputs, sizes: jax.Array, *, canvas: tuple[int, int]
    ) -> Detections:
        """Returns at most `max_detections` boxes of each image, by falling score.

        A score is the geometric mean of the probability of the class and the
        centerness (section 2.3 of the later version). The best `pre_nms` (point,
        class) pairs of each level are decoded and clipped to the image (`sizes [B, 2]`:
        height, width); those with a score above the threshold are suppressed class by
        class, all levels together.
        """
        return jax.vmap(partial(self._image_detections, canvas=canvas))(outputs, sizes)

    def places(
        self, grids: dict[int, tuple[int, int]], *, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns the points [H W, 2] of every level's grid (rows, columns)."""
        return pyramid_points(canvas, grids, stride_rule=self.stride_rule)

    def _image_loss(self, outputs, boxes, labels, valid, *, canvas):
        """Returns the sums of the three losses of one image, and its positives."""
        points = self.places(grids_of(outputs.deltas), canvas=canvas)
        sums = [
            self._level_loss(outputs, level, points, boxes, labels, valid)
            for level in points
        ]
        return tuple(map(sum, zip(*sums, strict=True)))

    def _level_loss(self, outputs, level, points, boxes, labels, valid):
        low, high = self._distances(level, points)
        points = points[level]
        match = match_by_center(
            points,
            boxes,
            valid,
            radius=self.center_radius * 2**level,
            min_distance=low,
            max_distance=high,
        )
        wanted, label = objects_at(boxes, labels, match.index)
        label = jnp.where(match.positive, label, -1)
        class_loss = focal(
            outputs.logits[level].reshape(len(points), -1),
            label[:, None] == jnp.arange(self.num_classes, dtype=jnp.float32)[None],
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
        )
        found = self._boxes(outputs, level, points)
        # Others may be too large for their gradient, which 0 does not undo.
        found = jnp.where(match.positive[:, None], found, wanted)
        box_loss = 1 - giou(found, wanted)
        centerness_loss = optax.sigmoid_binary_cross_entropy(
            outputs.centerness[level].reshape(-1).astype(jnp.float32),
            centerness(encode_ltrb(wanted, points)),
        )
        return (
            jnp.sum(class_loss),
            jnp.sum(box_loss, where=match.positive),
            jnp.sum(centerness_loss, where=match.positive),
            jnp.sum(match.positive, dtype=jnp.float32),
        )

    def _distances(self, level, levels):
        """Returns the range of the farthest side, in pixels, of a level's objects."""
        low, high = (distance * 2**level for distance in self.distance_range)
        return (
            0 if level == min(levels) else low,
            math.inf if level == max(levels) else high,
        )

    def _image_detections(self, outputs, size, *, canvas):
        levels = [
            self._level_candidates(outputs, level, points)
            for level, points in self.places(
                grids_of(outputs.deltas), canvas=canvas
            ).items()
        ]
        boxes, scores, labels = map(jnp.concatenate, zip(*levels, strict=True))
        return select_detections(
            clip(boxes, size),
            scores,
            labels,
            (scores > self.score_threshold) & is_image(size),
            iou_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )

    def _level_candidates(self, outputs, level, points):
        """Returns boxes, scores and labels of the best pairs of one image's level."""
        probability, centered = (
            jax.nn.sigmoid(x[level].reshape(len(points), -1).astype(jnp.float32))
            for x in (outputs.logits, outputs.centerness)
        )
        scores, row, label = top_pairs(_root(probability * centered), self.pre_nms)
        return self._boxes(outputs, level, points)[row], scores, label

    def _boxes(self, outputs, level, points):
        distances = outputs.deltas[level].reshape(-1, 4).astype(jnp.float32)
        return decode_ltrb(distances * 2**level, points)


def _root(x: jax.Array) -> jax.Array:
    """Returns the square root with a gradient of 0 at 0, where it is infinite."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def centerness(distances: Float[Array, "n 4"]) -> Float[Array, " n"]:
    """Returns 1 for points in the middle of their box, falling to 0 at its sides.

    The square root of min / max of left and right times min / max of top and bottom
    (FCOS, eq. 3); 0 for a point outside. `distances` come from `encode_ltrb`.
    """
    pairs = jnp.maximum(distances, 0).reshape(-1, 2, 2)  # left, top; right, bottom
    near, far = pairs.min(axis=1), pairs.max(axis=1)
    return _root(jnp.prod(near / jnp.where(far > 0, far, 1), axis=-1))
