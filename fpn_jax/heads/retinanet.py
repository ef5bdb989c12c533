"""The head of RetinaNet (Lin et al. 2017, section 4).

Two towers of convolutions, shared over the levels, give every anchor one logit per
class and four box deltas. Anchors are in the order of torchvision: finest level first,
then rows, columns, ratios, sizes. Boxes are xyxy pixels of the canvas.
"""

import math
from functools import partial
from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.choices import check_choice
from fpn_jax.heads.tower import tower
from fpn_jax.layers import Conv, Dtype
from fpn_jax.ops.anchor_losses import IGNORED, focal_of_anchors
from fpn_jax.ops.anchors import (
    anchor_rows,
    anchor_rows_at,
    grids_of,
    pyramid_anchors,
)
from fpn_jax.ops.boxes import clip, decode_deltas, encode_deltas, giou
from fpn_jax.ops.images import is_image
from fpn_jax.ops.losses import smooth_l1
from fpn_jax.ops.matching import match_by_iou
from fpn_jax.ops.meshes import rows_of
from fpn_jax.ops.nms import select_detections
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.small_tables import objects_at
from fpn_jax.ops.top_pairs import top_anchor_classes
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets, exportable


@exportable
@flax.struct.dataclass
class RetinaNetOutputs:
    """Raw outputs of the network for every anchor, by level."""

    logits: Pyramid  # {level: [B, H, W, A K]}, the K classes of an anchor side by side
    deltas: Pyramid  # {level: [B, H, W, 4 A]}, the four of an anchor side by side


class RetinaNetHead(nn.Module):
    """Raw logits and deltas of a pyramid; loss and detections made from them."""

    num_classes: int  # Number of classes, without the background.
    # Sides in pixels of the square anchors of each level, the finest first; by default
    # 32 … 512 on P3 … P7, each times 1, 2**(1/3) and 2**(2/3), truncated as
    # torchvision's are.
    anchor_sizes: tuple[tuple[float, ...], ...] = (
        (32, 40, 50),
        (64, 80, 101),
        (128, 161, 203),
        (256, 322, 406),
        (512, 645, 812),
    )
    # Ratios of height to width of the anchors.
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    # Distance of the anchors: "canvas" divides the canvas by the grid, as torchvision
    # does; "level" is 2**level, as in Detectron2.
    stride_rule: Literal["canvas", "level"] = "canvas"
    rounded_anchors: bool = True  # Round anchors to whole pixels, as torchvision does.
    num_convs: int = 4  # Number of convolutions of each tower.
    # Norm of the towers, which then have no biases.
    norm: Literal["group"] | None = None
    prior: float = 0.01  # Probability of every class at each place before training.
    positive_iou: float = 0.5  # IoU with an object from which an anchor is a positive.
    negative_iou: float = 0.4  # IoU below which an anchor is a negative.
    focal_alpha: float = 0.25  # Weight of the positives in the focal loss.
    # Exponent of the focal loss, which lowers the weight of easy anchors.
    focal_gamma: float = 2.0
    # Loss of the boxes: L1 on deltas, or generalized IoU.
    box_loss: Literal["l1", "giou"] = "l1"
    score_threshold: float = 0.05  # Lowest score of a detection.
    # Best pairs of anchor and class of each level that enter suppression.
    pre_nms: int = 1000
    # IoU above which the lower of two boxes of a class is dropped.
    nms_threshold: float = 0.5
    # Clip boxes to the image before suppression, not after it as Detectron2 does.
    clipped: bool = True
    max_detections: int = 300  # Most detections of an image.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> RetinaNetOutputs:
        """Returns class logits and deltas for every level of `pyramid`."""
        del train  # no norm of this head knows the difference
        num_anchors = self._num_anchors(pyramid)
        channels = next(iter(pyramid.values())).shape[-1]
        init = nn.initializers.normal(0.01)
        hidden = partial(
            Conv,
            channels,
            use_bias=self.norm is None,
            kernel_init=init,
            norm=self.norm,
            dtype=self.dtype,
        )
        to_logits = Conv(
            num_anchors * self.num_classes,
            kernel_init=init,
            bias_init=nn.initializers.constant(-math.log(1 / self.prior - 1)),
            dtype=self.dtype,
            name="class_logits",
        )
        to_deltas = Conv(
            4 * num_anchors, kernel_init=init, dtype=self.dtype, name="box_deltas"
        )
        towers = partial(tower, pyramid, hidden, num_convs=self.num_convs)
        (logits,) = towers([to_logits], name="class")
        (deltas,) = towers([to_deltas], name="box")
        return RetinaNetOutputs(logits=logits, deltas=deltas)

    def loss(
        self,
        outputs: RetinaNetOutputs,
        sizes: jax.Array,
        targets: Targets,
        *,
        canvas: tuple[int, int],
        keys: jax.Array | None = None,
    ) -> dict[str, LossTerm]:
        """Returns `class` and `box`: per image over its positives, then over images.

        Focal loss of the anchors that are not ignored, L1 loss of the positives' deltas
        or GIoU loss of their boxes. An image's sum is divided by its positives, by 1 if
        it has none, and the terms count images, as in torchvision. Crowd regions are
        matched with nothing: anchors on them are negatives. An image of size 0
        (`sizes [B, 2]`) is padding of the batch and does not count.
        """
        del keys  # every position counts: nothing is drawn
        targets = learnable(targets, sizes)
        class_loss, box_loss = jax.vmap(partial(self._image_loss, canvas=canvas))(
            outputs, targets.boxes, targets.labels, targets.valid
        )
        real = is_image(sizes)
        count = jnp.sum(real, dtype=jnp.float32)
        return {
            "class": LossTerm(jnp.sum(class_loss, where=real), count),
            "box": LossTerm(jnp.sum(box_loss, where=real), count),
        }

    def detections(
        self, outputs: RetinaNetOutputs, sizes: jax.Array, *, canvas: tuple[int, int]
    ) -> Detections:
        """Returns at most `max_detections` boxes of each image, by falling score.

        The best `pre_nms` (anchor, class) pairs of each level are decoded and clipped
        to the image (`sizes [B, 2]`: height, width); those with a score above the
        threshold are suppressed class by class, all levels together. If not `clipped`,
        it is the last step, after which boxes outside the image are not valid.
        """
        levels = [
            self._level_candidates(outputs, level, anchors)
            for level, anchors in self.places(
                grids_of(outputs.deltas), canvas=canvas
            ).items()
        ]
        boxes, scores, labels = (
            jnp.concatenate(field, axis=1) for field in zip(*levels, strict=True)
        )
        return jax.vmap(self._image_detections)(boxes, scores, labels, sizes)

    def places(
        self, grids: dict[int, tuple[int, int]], *, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns the anchors [H W A, 4] of every level's grid (rows, columns)."""
        return pyramid_anchors(
            canvas,
            grids,
            dict(zip(grids, self.anchor_sizes, strict=True)),
            self.anchor_ratios,
            stride_rule=self.stride_rule,
            rounded=self.rounded_anchors,
        )

    def _num_anchors(self, pyramid: Pyramid) -> int:
        check_choice("norm", self.norm, (None, "group"))
        check_choice("box_loss", self.box_loss, ("l1", "giou"))
        per_level = {len(sizes) for sizes in self.anchor_sizes}
        if len(self.anchor_sizes) != len(pyramid) or len(per_level) != 1:
            raise ValueError(
                f"anchor_sizes must give as many sizes to each of the pyramid's levels "
                f"{sorted(pyramid)}, got {self.anchor_sizes}"
            )
        return per_level.pop() * len(self.anchor_ratios)

    def _image_loss(self, outputs, boxes, labels, valid, *, canvas):
        """Returns the class and the box loss of one image."""
        of_level = self.places(grids_of(outputs.deltas), canvas=canvas)
        anchors = jnp.concatenate(list(of_level.values()))
        match = match_by_iou(
            anchors,
            boxes,
            valid,
            positive_iou=self.positive_iou,
            negative_iou=self.negative_iou,
            low_quality=True,
        )
        # Levels stay apart here: the logits are much too large to copy.
        ends = np.cumsum([len(anchors) for anchors in of_level.values()])[:-1]
        wanted, label = objects_at(boxes, labels, match.index)
        label = jnp.where(match.positive, label, -1)
        class_loss = sum(
            self._class_loss(outputs.logits[level], label, counts)
            for level, label, counts in zip(
                of_level,
                jnp.split(label, ends),
                jnp.split(match.positive | match.negative, ends),
                strict=True,
            )
        )
        deltas = [anchor_rows(outputs.deltas[level], 4) for level in of_level]
        box_loss = jnp.sum(
            self._box_loss(jnp.concatenate(deltas), anchors, wanted, match.positive),
            where=match.positive,
        )
        count = jnp.maximum(jnp.sum(match.positive, dtype=jnp.float32), 1)
        return class_loss / count, box_loss / count

    def _class_loss(self, logits, label, counts):
        """Returns the sum over a level's anchors; those without a class have -1."""
        return focal_of_anchors(
            logits,
            jnp.where(counts, label, IGNORED).astype(jnp.float32),
            num_classes=self.num_classes,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
        )

    def _box_loss(self, deltas, anchors, wanted, positive):
        """Returns the loss of each anchor; meaningful where positive."""
        if self.box_loss == "giou":
            found = decode_deltas(deltas, anchors)
            # Others may be too large for their gradient, which 0 does not undo.
            return 1 - giou(jnp.where(positive[:, None], found, wanted), wanted)
        return smooth_l1(deltas, encode_deltas(wanted, anchors), beta=0).sum(axis=-1)

    def _level_candidates(self, outputs, level, anchors):
        """Returns boxes [B, M, 4], scores and labels of the best pairs of a level."""
        # The sigmoid is monotone: it can wait until few are left.
        best, row, label = top_anchor_classes(
            outputs.logits[level], self.num_classes, self.pre_nms
        )
        deltas = anchor_rows_at(outputs.deltas[level], row, 4)
        chosen = jax.vmap(partial(rows_of, anchors))(row)
        boxes = jax.vmap(decode_deltas)(deltas, chosen)
        return boxes, jax.nn.sigmoid(best.astype(jnp.float32)), label

    def _image_detections(self, boxes, scores, labels, size):
        found = select_detections(
            clip(boxes, size) if self.clipped else boxes,
            scores,
            labels,
            (scores > self.score_threshold) & is_image(size),
            iou_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )
        boxes = clip(found.boxes, size)
        seen = found.valid
        if not self.clipped:
            seen &= (boxes[:, 2:] > boxes[:, :2]).all(axis=-1)
        return Detections(
            boxes=jnp.where(seen[:, None], boxes, 0),
            scores=jnp.where(seen, found.scores, 0),
            labels=jnp.where(seen, found.labels, 0),
            valid=seen,
        )
