"""The head of YOLOX (Ge et al. 2021, section 2): anchor-free, decoupled, SimOTA.

Two towers of convolutions, each level's own, give every cell one logit per class, one
of objectness, and a box. Levels may have different channels. Cells are ordered by
level, finest first, then by row and column. Boxes are xyxy pixels of the canvas.
"""

import math
from functools import partial

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    SeparableConv,
    normed_conv,
    torch_uniform,
)
from fpn_jax.ops.anchors import grids_of, pyramid_anchors
from fpn_jax.ops.boxes import clip, decode_deltas, iou, pairwise_iou
from fpn_jax.ops.images import is_image
from fpn_jax.ops.matching import Assignment, match_by_cost
from fpn_jax.ops.nms import select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets, exportable

# What a candidate costs more that is not both in the box and near its center.
_FAR = 1e5
# The authors do not cut sides; beyond 10,000 strides float32 areas would overflow.
_MAX_LOG_SIDE = math.log(1e4)


@exportable
@flax.struct.dataclass
class YOLOXOutputs:
    """Raw outputs of the network for every cell, by level."""

    logits: Pyramid  # {level: [B, H, W, K]}
    deltas: Pyramid  # {level: [B, H, W, 4]}, of the squares of `YOLOXHead.places`
    objectness: Pyramid  # {level: [B, H, W, 1]} logits


class YOLOXHead(nn.Module):
    """Raw outputs of a pyramid; loss and detections made from them."""

    num_classes: int  # Number of classes, without the background.
    num_convs: int = 2  # Number of convolutions of each tower.
    depthwise: bool = False  # Make the convolutions of the towers depthwise separable.
    # Probability of every class and of an object in each cell before training.
    prior: float = 0.01
    norm: Norm = "batch"  # Norm behind each convolution, which then has no bias.
    # Number that a norm adds to a variance; the authors' code has 1e-3.
    norm_epsilon: float = 1e-3
    # Share of the old statistics that batch norm keeps at a step; the authors' code has
    # 0.97.
    norm_momentum: float = 0.9
    # Distance in strides from the center of an object in which cells are candidates.
    center_radius: float = 2.5
    # Best candidates whose IoUs decide how many cells an object takes.
    num_candidates: int = 10
    iou_cost_weight: float = 3.0  # Weight of the IoU in the cost of a candidate.
    box_loss_weight: float = 5.0  # Weight of the box loss.
    score_threshold: float = 0.01  # Lowest score of a detection.
    # IoU above which the lower of two boxes of a class is dropped.
    nms_threshold: float = 0.65
    # Clip boxes to the image before suppression; the authors' code does not.
    clipped: bool = True
    max_detections: int = 100  # Most detections of an image.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @property
    def takes_any_channels(self) -> bool:
        """Whether levels may have different channels: each has a stem of its own."""
        return True

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> YOLOXOutputs:
        """Returns logits, deltas and objectness for every level of `pyramid`."""
        conv = partial(normed_conv(self, train=train), norm_momentum=self.norm_momentum)
        channels = pyramid[min(pyramid)].shape[-1]
        stem = partial(conv, channels, 1)
        hidden = partial(SeparableConv, conv) if self.depthwise else conv
        hidden = partial(hidden, channels)
        rare = nn.initializers.constant(-math.log(1 / self.prior - 1))
        last = partial(Conv, kernel_size=1, kernel_init=torch_uniform, dtype=self.dtype)
        outputs = YOLOXOutputs(logits={}, deltas={}, objectness={})
        for level in sorted(pyramid):
            x = nn.silu(stem(name=f"stem{level}")(pyramid[level]))
            of_class = of_box = x
            for i in range(self.num_convs):
                of_class = nn.silu(hidden(name=f"class{level}_conv{i}")(of_class))
                of_box = nn.silu(hidden(name=f"box{level}_conv{i}")(of_box))
            logits = last(self.num_classes, bias_init=rare, name=f"class_logits{level}")
            outputs.logits[level] = logits(of_class)
            outputs.deltas[level] = last(4, name=f"box_deltas{level}")(of_box)
            objectness = last(1, bias_init=rare, name=f"objectness{level}")
            outputs.objectness[level] = objectness(of_box)
        return outputs

    def loss(
        self,
        outputs: YOLOXOutputs,
        sizes: jax.Array,
        targets: Targets,
        *,
        canvas: tuple[int, int],
        keys: jax.Array | None = None,
    ) -> dict[str, LossTerm]:
        """Returns `class`, `box` and `objectness`, all over the positives of the batch.

        - `class`: binary cross-entropy of the classes of positives; the target of the
          true class is the IoU of the box.
        - `box`: `box_loss_weight` times 1 - IoU**2 of positives.
        - `objectness`: binary cross-entropy of all cells.

        Crowd regions take no cells. An image of size 0 (`sizes [B, 2]`) is padding of
        the batch and does not count.

        The L1 loss that the authors add for the last epochs is left out.
        """
        del keys  # every position counts: nothing is drawn
        targets = learnable(targets, sizes)
        sums = jax.vmap(partial(self._image_loss, canvas=canvas))(
            outputs, targets.boxes, targets.labels, targets.valid
        )
        real = is_image(sizes)
        class_loss, box_loss, objectness_loss, count = (
            jnp.sum(x, where=real) for x in sums
        )
        return {
            "class": LossTerm(class_loss, count),
            "box": LossTerm(self.box_loss_weight * box_loss, count),
            "objectness": LossTerm(objectness_loss, count),
        }

    def detections(
        self, outputs: YOLOXOutputs, sizes: jax.Array, *, canvas: tuple[int, int]
    ) -> Detections:
        """Returns at most `max_detections` boxes of each image, by falling score.

        Every cell has one box, of its best class; its score is the probability of the
        class times that of an object. Boxes are clipped to the image (`sizes [B, 2]`:
        height, width) if `clipped`; those with a score of at least the threshold are
        suppressed class by class, all levels together.
        """
        return jax.vmap(partial(self._image_detections, canvas=canvas))(outputs, sizes)

    def places(
        self, grids: dict[int, tuple[int, int]], *, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns a square [H W, 4] for every cell: of its size, around its corner.

        Deltas of it are the paper's: the offset from the corner and the logarithms of
        the sides, all in strides.
        """
        strides = {level: (2**level,) for level in grids}
        return pyramid_anchors(canvas, grids, strides, (1,), stride_rule="level")

    def assign(
        self,
        boxes: jax.Array,
        logits: jax.Array,
        objectness: jax.Array,
        squares: jax.Array,
        targets: jax.Array,
        labels: jax.Array,
        valid: jax.Array,
    ) -> tuple[Assignment, jax.Array]:
        """Returns the assignment of each cell of one image to a target, and its IoU.

        SimOTA (section 2.1): a target's candidates are the cells whose middle is in its
        box or within `center_radius` strides of its center, in x and in y; those that
        are not in both come last. (In the authors' code the candidates of all targets
        are each one's.) The cost is the cross-entropy of the class, whose probability
        is the root of class times object, plus `iou_cost_weight` times -log IoU.

        `boxes [N, 4]`, `logits [N, K]` and `objectness [N]` are the predictions,
        `targets [G, 4]`, `labels [G]` and `valid [G]` the ground truth.
        """
        overlap = pairwise_iou(boxes, targets)
        near, inside = self._geometry(squares, targets)
        cost = (
            _class_cost(logits, objectness, labels)
            - self.iou_cost_weight * jnp.log(overlap + 1e-8)
            + jnp.where(near & inside, 0, _FAR)
        )
        match = match_by_cost(
            cost,
            overlap,
            (near | inside) & valid[None],
            num_candidates=self.num_candidates,
        )
        return match, jnp.take_along_axis(overlap, match.index[:, None], axis=1)[:, 0]

    def _geometry(self, squares, targets):
        """Returns which cells [N, G] are near a target's center, and which in it."""
        # A square is centered on its cell's corner: its own last corner is the middle.
        middle = squares[:, None, 2:]
        stride = squares[:, None, 2] - squares[:, None, 0]
        low, high = targets[None, :, :2], targets[None, :, 2:]
        offset = jnp.abs(middle - (low + high) / 2).max(axis=-1)
        inside = ((low < middle) & (middle < high)).all(axis=-1)
        return offset < self.center_radius * stride, inside

    def _image_loss(self, outputs, boxes, labels, valid, *, canvas):
        """Returns the sums of the three losses of one image, and its positives."""
        squares, logits, found, objectness = self._flat(outputs, canvas)
        match, overlap = self.assign(
            jax.lax.stop_gradient(found),
            jax.lax.stop_gradient(logits),
            jax.lax.stop_gradient(objectness),
            squares,
            boxes,
            labels,
            valid,
        )
        classes = jnp.arange(self.num_classes, dtype=jnp.int32)
        of_class = labels[match.index][:, None] == classes[None]
        class_loss = optax.sigmoid_binary_cross_entropy(
            logits, jnp.where(of_class, overlap[:, None], 0)
        )
        wanted = boxes[match.index]
        # Others may be too large for their gradient, which 0 does not undo.
        found = jnp.where(match.positive[:, None], found, wanted)
        box_loss = 1 - iou(found, wanted) ** 2
        objectness_loss = optax.sigmoid_binary_cross_entropy(
            objectness, match.positive.astype(jnp.float32)
        )
        return (
            jnp.sum(class_loss, where=match.positive[:, None]),
            jnp.sum(box_loss, where=match.positive),
            jnp.sum(objectness_loss),
            jnp.sum(match.positive, dtype=jnp.float32),
        )

    def _image_detections(self, outputs, size, *, canvas):
        _, logits, boxes, objectness = self._flat(outputs, canvas)
        scores = jax.nn.sigmoid(logits.max(axis=-1)) * jax.nn.sigmoid(objectness)
        return select_detections(
            clip(boxes, size) if self.clipped else boxes,
            scores,
            jax.lax.argmax(logits, 1, jnp.int32),
            (scores >= self.score_threshold) & is_image(size),
            iou_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )

    def _flat(self, outputs, canvas):
        """Returns squares, logits, boxes and objectness of the cells of one image."""
        logits, deltas, objectness = (
            jnp.concatenate(
                [x[level].reshape(-1, x[level].shape[-1]) for level in sorted(x)]
            ).astype(jnp.float32)
            for x in (outputs.logits, outputs.deltas, outputs.objectness)
        )
        places = self.places(grids_of(outputs.deltas), canvas=canvas)
        squares = jnp.concatenate(list(places.values()))
        boxes = decode_deltas(deltas, squares, max_log_side=_MAX_LOG_SIDE)
        return squares, logits, boxes, objectness[:, 0]


def _class_cost(logits, objectness, labels):
    """Returns [N, G]: the cross-entropy of each cell's classes with each label."""
    probability = jnp.sqrt(jax.nn.sigmoid(logits) * jax.nn.sigmoid(objectness)[:, None])
    # torch's binary cross-entropy ends at 100.
    yes = jnp.maximum(jnp.log(probability), -100)
    no = jnp.maximum(jnp.log1p(-probability), -100)
    return no[:, labels] - yes[:, labels] - no.sum(axis=1, keepdims=True)
