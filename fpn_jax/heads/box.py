"""The box head of a two-stage detector (Fast R-CNN; on a pyramid: FPN, section 4.2).

Each proposal's features, cut out of the level that suits its size, give one class and,
for every class, four box deltas. Outputs are in torchvision's order: the background is
row 0 and class k is row k + 1. Boxes are xyxy pixels of the canvas.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.layers import (
    AxisName,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.boxes import Weights, clip, decode_deltas, encode_deltas
from fpn_jax.ops.images import is_image
from fpn_jax.ops.losses import smooth_l1
from fpn_jax.ops.matching import Assignment, match_by_iou
from fpn_jax.ops.nms import select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.sampling import balanced_sample
from fpn_jax.types import Detections, LossTerm, Proposals, Pyramid, Targets, exportable


@exportable
@flax.struct.dataclass
class BoxOutputs:
    """Raw outputs of the network for every box."""

    logits: jax.Array  # [B, R, K+1], background first
    # [B, R, K+1, 4], the background's are not used; [B, R, 1, 4] for all classes
    deltas: jax.Array


@exportable
@flax.struct.dataclass
class RoISamples:
    """The boxes that a second stage is trained on: positives first, then padding.

    `BoxHead.match` keeps the order of the boxes instead.
    """

    boxes: jax.Array  # [B, S, 4] xyxy, pixels
    labels: jax.Array  # [B, S] int32, 0 … K-1; meaningful where positive
    index: jax.Array  # [B, S] int32, a row of the targets; meaningful where positive
    positive: jax.Array  # [B, S] bool
    valid: jax.Array  # [B, S] bool, False in padding


class BoxHead(nn.Module):
    """Class logits and deltas of boxes; the boxes to train on, loss, detections.

    The paper's head is two fully connected layers; torchvision's v2 has four 3x3
    convolutions, each with a norm and without a bias, and one.
    """

    # Number of classes, without the background; COCO's ids need 90, ten unused.
    num_classes: int = 90
    pool: RoIPool = RoIPool()  # How the features of a box are cut out of the pyramid.
    num_convs: int = 0  # Number of 3x3 convolutions before the fully connected layers.
    num_hidden: int = 2  # Number of fully connected layers, fc6, fc7 and so on.
    hidden_features: int = 1024  # Features of each fully connected layer.
    # Predict one box for all classes, as Cascade R-CNN does.
    class_agnostic: bool = False
    norm: Norm = None  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    positive_iou: float = 0.5  # IoU with an object from which a proposal is a positive.
    negative_iou: float = 0.5  # IoU below which a proposal is a negative.
    num_samples: int = 512  # Boxes of an image in the loss.
    positive_fraction: float = 0.25  # Largest share of positives in the sample.
    # Factors of the deltas x, y, width and height, the inverse of their usual spread
    # (Fast R-CNN).
    box_weights: Weights = (10, 10, 5, 5)
    smooth_l1_beta: float = 1 / 9  # Error of a delta at which smooth-L1 becomes linear.
    score_threshold: float = 0.05  # Lowest score of a detection.
    # IoU above which the lower of two boxes of a class is dropped.
    nms_threshold: float = 0.5
    max_detections: int = 100  # Most detections of an image.
    min_side: float = 1e-2  # Side in pixels below which a box is dropped.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(
        self,
        pyramid: Pyramid,
        boxes: jax.Array,
        valid: jax.Array | None = None,
        *,
        canvas: tuple[int, int],
        train: bool = False,
    ) -> BoxOutputs:
        """Returns logits and deltas of `boxes [B, R, 4]`, the rows of their images.

        With `norm="batch"` and `train` the statistics are taken over the boxes that are
        `valid [B, R]`, or over all without it.
        """
        x = self.pool(pyramid, boxes, canvas=canvas)
        rows = None if valid is None else valid.reshape(-1)
        conv = normed_conv(self, train=train)
        for i in range(self.num_convs):
            x = nn.relu(conv(x.shape[-1], name=f"conv{i}")(x, rows))
        x = x.reshape(x.shape[0], -1)
        for i in range(self.num_hidden):
            x = nn.relu(self._dense(x, self.hidden_features, f"fc{6 + i}"))
        num_outputs = self.num_classes + 1
        logits = self._dense(x, num_outputs, "class_logits")
        num_boxes = 1 if self.class_agnostic else num_outputs
        deltas = self._dense(x, 4 * num_boxes, "box_deltas")
        return BoxOutputs(
            logits=logits.reshape(*boxes.shape[:2], num_outputs),
            # In two steps, as `anchor_rows`.
            deltas=deltas.reshape(-1, num_boxes, 4).reshape(
                *boxes.shape[:2], num_boxes, 4
            ),
        )

    def sample(
        self,
        proposals: Proposals,
        targets: Targets,
        sizes: jax.Array,
        *,
        keys: jax.Array,
    ) -> RoISamples:
        """Returns `num_samples` boxes of each image, drawn by `keys [B]`.

        Candidates are the proposals and, so that there are positives from the first
        step on, the ground truth itself. Crowd regions are neither candidates nor
        matched with one: a proposal inside a crowd is a negative, as in torchvision. An
        image of size 0 (`sizes [B, 2]`) is padding of the batch and has no sample.
        """
        real = is_image(sizes)[:, None]
        targets = learnable(targets, sizes)
        objects = targets.valid
        boxes = jnp.concatenate([proposals.boxes, targets.boxes], axis=1)
        valid = jnp.concatenate([proposals.valid & real, objects], axis=1)
        return jax.vmap(self._image_sample)(
            boxes, valid, targets.boxes, targets.labels, objects, keys
        )

    def positives(self, samples: RoISamples) -> RoISamples:
        """Returns the first rows of a sample, which have all of its positives."""
        most = int(self.num_samples * self.positive_fraction)
        return jax.tree.map(lambda rows: rows[:, :most], samples)

    def match(self, boxes: jax.Array, valid: jax.Array, targets: Targets) -> RoISamples:
        """Returns `boxes [B, R, 4]` with the objects that they are trained towards.

        All that are `valid [B, R]` and not empty, and no others, in their order: what
        an earlier stage of a cascade sampled and moved. Positives have the head's own
        `positive_iou`.
        """
        targets = learnable(targets)
        match = jax.vmap(self._match)(boxes, targets.boxes, targets.valid)
        valid = valid & (boxes[..., 2:] > boxes[..., :2]).all(axis=-1)
        return RoISamples(
            boxes=boxes,
            labels=jnp.take_along_axis(targets.labels, match.index, axis=1),
            index=match.index,
            positive=match.positive & valid,
            valid=valid & (match.positive | match.negative),
        )

    def moved(
        self, outputs: BoxOutputs, boxes: jax.Array, sizes: jax.Array
    ) -> jax.Array:
        """Returns where the deltas put `boxes [B, R, 4]`, cut off at their images.

        Raises:
          ValueError: for a head with a box for each class.
        """
        if not self.class_agnostic:
            raise ValueError(
                "class_agnostic is False: a box is moved by deltas that hold for all "
                "classes, and the head has some for each"
            )
        return jax.vmap(self._image_moved)(outputs.deltas[:, :, 0], boxes, sizes)

    def loss(
        self, outputs: BoxOutputs, samples: RoISamples, targets: Targets
    ) -> dict[str, LossTerm]:
        """Returns `class` and `box`, both over the sampled boxes.

        Cross-entropy of every sample; smooth-L1 on the deltas of the object's class for
        the positive ones (Fast R-CNN, eq. 1).
        """
        targets = learnable(targets)
        rows = jnp.where(samples.positive, samples.labels + 1, 0)
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(
            outputs.logits.astype(jnp.float32), rows
        )
        of_class = jnp.zeros_like(rows) if self.class_agnostic else rows
        deltas = jnp.take_along_axis(outputs.deltas, of_class[..., None, None], axis=2)
        objects = jnp.take_along_axis(targets.boxes, samples.index[..., None], axis=1)
        positive = (samples.positive & samples.valid)[..., None]
        wanted = encode_deltas(objects, samples.boxes, self.box_weights)
        wanted = jnp.where(positive, wanted, 0)
        box = smooth_l1(deltas[:, :, 0], wanted, beta=self.smooth_l1_beta)
        count = jnp.sum(samples.valid, dtype=jnp.float32)
        return {
            "class": LossTerm(jnp.sum(cross_entropy, where=samples.valid), count),
            "box": LossTerm(jnp.sum(box, where=positive), count),
        }

    def detections(
        self, outputs: BoxOutputs, found: Proposals, sizes: jax.Array
    ) -> Detections:
        """Returns the best `max_detections` boxes of each image, by falling score.

        Every class of a proposal is a candidate of its own, decoded by its own deltas
        unless they are for all classes, clipped to the image (`sizes [B, 2]`: height,
        width), and kept if its probability is above `score_threshold`; suppression goes
        class by class. Equal scores keep the order of the proposals.
        """
        return jax.vmap(self._image_detections)(
            outputs.logits, outputs.deltas, found.boxes, found.valid, sizes
        )

    def _dense(self, x: jax.Array, features: int, name: str) -> jax.Array:
        """Returns a fully connected layer of `x`, initialized as torch's are."""
        bound = x.shape[-1] ** -0.5

        def uniform(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return nn.Dense(
            features,
            kernel_init=uniform,
            bias_init=uniform,
            dtype=self.dtype,
            name=name,
        )(x)

    def _match(self, boxes, objects, is_object) -> Assignment:
        return match_by_iou(
            boxes,
            objects,
            is_object,
            positive_iou=self.positive_iou,
            negative_iou=self.negative_iou,
            low_quality=False,
        )

    def _image_sample(self, boxes, valid, objects, labels, is_object, key):
        match = self._match(boxes, objects, is_object)
        sample = balanced_sample(
            match.positive & valid,
            match.negative & valid,
            num=self.num_samples,
            positive_fraction=self.positive_fraction,
            key=key,
        )
        index = match.index[sample.index]
        return RoISamples(
            boxes=boxes[sample.index],
            labels=labels[index],
            index=index,
            positive=sample.positive,
            valid=sample.valid,
        )

    def _image_moved(self, deltas, boxes, size) -> jax.Array:
        return clip(decode_deltas(deltas, boxes, self.box_weights), size)

    def _image_detections(self, logits, deltas, boxes, valid, size):
        scores = jax.nn.softmax(logits.astype(jnp.float32))[:, 1:]
        deltas = deltas if self.class_agnostic else deltas[:, 1:]
        decoded = decode_deltas(deltas, boxes[:, None], self.box_weights)
        decoded = jnp.broadcast_to(decoded, (*scores.shape, 4))
        decoded = clip(decoded.reshape(-1, 4), size)
        sides = decoded[:, 2:] - decoded[:, :2]
        good = (scores > self.score_threshold) & (valid & is_image(size))[:, None]
        labels = jnp.arange(self.num_classes, dtype=jnp.int32)
        labels = jnp.broadcast_to(labels[None], scores.shape)
        return select_detections(
            decoded,
            scores.reshape(-1),
            labels.reshape(-1),
            good.reshape(-1) & (sides >= self.min_side).all(axis=-1),
            iou_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )
