"""The head of YOLOv3 (Redmon and Farhadi 2018, section 2): objectness, class and box of
every anchor.

Each level has a 3x3 convolution and a 1x1 of its own. Anchors are ordered by level,
finest first, then by row, column and size. Boxes are xyxy pixels of the canvas.
"""

import math
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.anchors import anchor_rows, grids_of, level_points
from fpn_jax.ops.boxes import clip, decode_deltas, pairwise_iou
from fpn_jax.ops.images import is_image
from fpn_jax.ops.matching import Assignment, match_by_iou
from fpn_jax.ops.nms import select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.top_pairs import top_pairs
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets, exportable


@exportable
@flax.struct.dataclass
class YOLOv3Outputs:
    """Raw outputs of the network for every anchor, by level."""

    logits: Pyramid  # {level: [B, H, W, A K]}, the K classes of an anchor side by side
    deltas: Pyramid  # {level: [B, H, W, 4 A]} t_x, t_y, t_w, t_h of the paper
    objectness: Pyramid  # {level: [B, H, W, A]} logits


@exportable
class Anchors(NamedTuple):
    """The anchors of a pyramid, a row for each."""

    corner: jax.Array  # [N, 2] x, y of its cell
    stride: jax.Array  # [N, 1] side of its cell, pixels
    sides: jax.Array  # [N, 2] width, height, pixels
    number: jax.Array  # [N] int32, of the shape among those of all levels


class YOLOv3Head(nn.Module):
    """Raw outputs of a pyramid; loss and detections made from them."""

    num_classes: int  # Number of classes, without the background.
    # Width and height in pixels of the anchors of each level, the finest first; by
    # default the paper's nine clusters of COCO at 416 px.
    anchor_shapes: tuple[tuple[tuple[float, float], ...], ...] = (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    )
    # Probability of every class and of an object at each anchor before training.
    prior: float = 0.01
    norm: Norm = "batch"  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    # IoU from which an anchor that is not the best of an object is ignored.
    ignored_iou: float = 0.5
    score_threshold: float = 0.01  # Lowest score of a detection.
    pre_nms: int = 1000  # Best pairs of anchor and class that enter suppression.
    # IoU above which the lower of two boxes of a class is dropped.
    nms_threshold: float = 0.45
    max_detections: int = 100  # Most detections of an image.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> YOLOv3Outputs:
        """Returns logits, deltas and objectness for every level of `pyramid`."""
        num_anchors = self._num_anchors(pyramid)
        channels = next(iter(pyramid.values())).shape[-1]
        hidden = partial(normed_conv(self, train=train), 2 * channels)
        rare = nn.initializers.constant(-math.log(1 / self.prior - 1))
        init = nn.initializers.normal(0.01)
        last = partial(Conv, kernel_size=1, kernel_init=init, dtype=self.dtype)
        outputs = YOLOv3Outputs(logits={}, deltas={}, objectness={})
        for level in sorted(pyramid):
            x = hidden(name=f"conv{level}")(pyramid[level])
            x = nn.leaky_relu(x, 0.1)  # of Darknet
            num_logits = num_anchors * self.num_classes
            logits = last(num_logits, bias_init=rare, name=f"class_logits{level}")
            outputs.logits[level] = logits(x)
            deltas = last(4 * num_anchors, name=f"box_deltas{level}")
            outputs.deltas[level] = deltas(x)
            objectness = last(num_anchors, bias_init=rare, name=f"objectness{level}")
            outputs.objectness[level] = objectness(x)
        return outputs

    def loss(
        self,
        outputs: YOLOv3Outputs,
        sizes: jax.Array,
        targets: Targets,
        *,
        canvas: tuple[int, int],
        keys: jax.Array | None = None,
    ) -> dict[str, LossTerm]:
        """Returns `class`, `box` and `objectness`, all over the positives of the batch.

        - `class`: binary cross-entropy of each class of positives.
        - `box`: binary cross-entropy of t_x and t_y with the place in the cell, and
          half the squared error of t_w and t_h, of positives.
        - `objectness`: binary cross-entropy of all anchors that are not ignored.

        The paper squares the error of t_x and t_y as well; its code has the gradient of
        the cross-entropy, place less sigmoid. Its code also weighs boxes by 2 - their
        share of the image, which is left out. Crowd regions have no anchor. An image of
        size 0 (`sizes [B, 2]`) is padding and does not count.
        """
        del canvas, keys  # strides are 2**level; nothing is drawn
        targets = learnable(targets, sizes)
        sums = jax.vmap(self._image_loss)(
            outputs, targets.boxes, targets.labels, targets.valid
        )
        real = is_image(sizes)
        class_loss, box_loss, objectness_loss, count = (
            jnp.sum(x, where=real) for x in sums
        )
        return {
            "class": LossTerm(class_loss, count),
            "box": LossTerm(box_loss, count),
            "objectness": LossTerm(objectness_loss, count),
        }

    def detections(
        self, outputs: YOLOv3Outputs, sizes: jax.Array, *, canvas: tuple[int, int]
    ) -> Detections:
        """Returns at most `max_detections` boxes of each image, by falling score.

        A score is the probability of a class times that of an object. The best
        `pre_nms` (anchor, class) pairs of all levels are clipped to the image (`sizes
        [B, 2]`: height, width); those with a score above the threshold are suppressed
        class by class.
        """
        del canvas
        return jax.vmap(self._image_detections)(outputs, sizes)

    def places(
        self, grids: dict[int, tuple[int, int]], *, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns the anchors [H W A, 4] of every level's grid, around cell middles."""
        del canvas  # strides are 2**level
        places = {}
        for order, (level, grid) in enumerate(grids.items()):
            anchors = self._level_anchors(order, level, grid)
            places[level] = _boxes(anchors.corner + anchors.stride / 2, anchors.sides)
        return places

    def anchors(self, grids: dict[int, tuple[int, int]]) -> Anchors:
        """Returns the anchors of grids {level: (rows, columns)}, finest level first."""
        levels = [
            self._level_anchors(order, level, grid)
            for order, (level, grid) in enumerate(grids.items())
        ]
        return Anchors(*map(jnp.concatenate, zip(*levels, strict=True)))

    def _level_anchors(self, order: int, level: int, grid: tuple[int, int]) -> Anchors:
        """Returns the anchors of the level that is number `order` of the pyramid."""
        num = len(self.anchor_shapes[0])
        corner = level_points(grid, (2**level, 2**level))
        shapes = jnp.array(self.anchor_shapes[order], jnp.float32)
        numbers = order * num + jnp.arange(num, dtype=jnp.int32)
        return Anchors(
            corner=jnp.repeat(corner, num, axis=0),
            stride=jnp.full((len(corner) * num, 1), 2.0**level, jnp.float32),
            sides=jnp.tile(shapes, (len(corner), 1)),
            number=jnp.tile(numbers, len(corner)),
        )

    def assign(
        self, anchors: Anchors, boxes: jax.Array, valid: jax.Array
    ) -> Assignment:
        """Returns the assignment of every anchor of an image to a box.

        A box has one anchor: that whose shape, of all levels, overlaps its own most
        (the first, where two do), in the cell of its center. Of boxes with the same
        anchor the first row has it. An anchor that overlaps a box by `ignored_iou` or
        more, in the middle of its cell, is ignored where it is not the box's own
        (section 2.1; the code asks the predicted box instead).

        `boxes [G, 4]` and `valid [G]` are the ground truth.
        """
        sides = np.array(self.anchor_shapes, np.float32).reshape(-1, 2)
        center, box_sides = _center(boxes), _sides(boxes)
        overlap = pairwise_iou(_boxes(0, box_sides), _boxes(0, sides))
        best = jax.lax.argmax(overlap, 1, jnp.int32)
        offset = (center[None] - anchors.corner[:, None]) / anchors.stride[:, None]
        wanted = (
            valid[None]
            & ((offset >= 0) & (offset < 1)).all(axis=-1)
            & (anchors.number[:, None] == best[None])
        )
        positive = wanted.any(axis=1)
        near = match_by_iou(
            _boxes(anchors.corner + anchors.stride / 2, anchors.sides),
            boxes,
            valid,
            positive_iou=self.ignored_iou,
            negative_iou=self.ignored_iou,
            low_quality=False,
        )
        index = jax.lax.argmax(wanted, 1, jnp.int32)
        return Assignment(index, positive, ~positive & near.negative)

    def _num_anchors(self, pyramid: Pyramid) -> int:
        per_level = {len(shapes) for shapes in self.anchor_shapes}
        if len(self.anchor_shapes) != len(pyramid) or len(per_level) != 1:
            raise ValueError(
                f"anchor_shapes must give as many to each of the pyramid's levels "
                f"{sorted(pyramid)}, got {self.anchor_shapes}"
            )
        return per_level.pop()

    def _image_loss(self, outputs, boxes, labels, valid):
        """Returns the sums of the three losses of one image, and its positives."""
        anchors = self.anchors(grids_of(outputs.deltas))
        match = self.assign(anchors, boxes, valid)
        classes = jnp.arange(self.num_classes, dtype=jnp.int32)
        of_class = labels[match.index][:, None] == classes[None]
        class_loss = optax.sigmoid_binary_cross_entropy(
            _flat(outputs.logits, self.num_classes), of_class.astype(jnp.float32)
        )
        box_loss = _box_loss(_flat(outputs.deltas, 4), anchors, boxes[match.index])
        objectness_loss = optax.sigmoid_binary_cross_entropy(
            _flat(outputs.objectness, 1)[:, 0], match.positive.astype(jnp.float32)
        )
        return (
            jnp.sum(class_loss, where=match.positive[:, None]),
            jnp.sum(box_loss, where=match.positive),
            jnp.sum(objectness_loss, where=match.positive | match.negative),
            jnp.sum(match.positive, dtype=jnp.float32),
        )

    def _image_detections(self, outputs, size):
        anchors = self.anchors(grids_of(outputs.deltas))
        boxes = clip(_decode(_flat(outputs.deltas, 4), anchors), size)
        objectness = jax.nn.sigmoid(_flat(outputs.objectness, 1))
        scores = jax.nn.sigmoid(_flat(outputs.logits, self.num_classes)) * objectness
        best, row, label = top_pairs(scores, self.pre_nms)
        return select_detections(
            boxes[row],
            best,
            label,
            (best > self.score_threshold) & is_image(size),
            iou_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )


def _box_loss(deltas, anchors: Anchors, wanted):
    """Returns the loss [N] of each anchor as if it were positive."""
    place = (_center(wanted) - anchors.corner) / anchors.stride
    sides = _sides(wanted)
    stretch = jnp.log(jnp.where(sides > 0, sides, 1) / anchors.sides)
    of_place = optax.sigmoid_binary_cross_entropy(deltas[:, :2], place)
    return (of_place + optax.l2_loss(deltas[:, 2:], stretch)).sum(axis=-1)


def _decode(deltas, anchors: Anchors):
    """Returns the box [N, 4] of each anchor (the paper, figure 2)."""
    center = anchors.corner + jax.nn.sigmoid(deltas[:, :2]) * anchors.stride
    sides = jnp.concatenate([jnp.zeros_like(deltas[:, :2]), deltas[:, 2:]], axis=1)
    return decode_deltas(sides, _boxes(center, anchors.sides))


def _flat(levels: Pyramid, channels: int):
    """Returns [N, channels] of one image, a row for every anchor."""
    rows = [anchor_rows(levels[level], channels) for level in sorted(levels)]
    return jnp.concatenate(rows).astype(jnp.float32)


def _boxes(center, sides):
    return jnp.concatenate([center - sides / 2, center + sides / 2], axis=-1)


def _center(boxes):
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _sides(boxes):
    return boxes[:, 2:] - boxes[:, :2]
