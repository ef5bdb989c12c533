"""The region proposal network (Faster R-CNN, section 3; on a pyramid: FPN, 4.1).

3x3 convolutions and two sibling 1x1 convolutions, shared over the levels, give every
anchor an objectness logit and four box deltas. Anchors are in the order of torchvision:
finest level first, then rows, columns, ratios, sizes. Boxes are xyxy pixels of the
canvas.
"""

from functools import partial
from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from fpn_jax.layers import Conv, Dtype
from fpn_jax.ops.anchors import (
    anchor_rows,
    anchor_rows_at,
    grids_of,
    pyramid_anchors,
)
from fpn_jax.ops.boxes import clip, decode_deltas, encode_deltas
from fpn_jax.ops.images import is_image
from fpn_jax.ops.losses import smooth_l1
from fpn_jax.ops.matching import match_by_iou
from fpn_jax.ops.meshes import rows_of
from fpn_jax.ops.nms import nms
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.sampling import balanced_sample
from fpn_jax.ops.strips import cut, joined, strips_of
from fpn_jax.types import LossTerm, Proposals, Pyramid, Targets, exportable


@exportable
@flax.struct.dataclass
class RPNOutputs:
    """Raw outputs of the network for every anchor, by level."""

    objectness: Pyramid  # {level: [B, H, W, A]} logits
    deltas: Pyramid  # {level: [B, H, W, 4 A]}, the four of an anchor side by side


class RPNHead(nn.Module):
    """Raw objectness and deltas of a pyramid; loss and proposals made from them."""

    # Number of 3x3 convolutions, each with a ReLU; torchvision's v2 detectors have 2.
    num_convs: int = 1
    # Sides in pixels of the square anchors of each level, the finest first; the paper
    # has 32 … 512 on P2 … P6.
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    # Ratios of height to width of the anchors.
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    # Distance of the anchors: "canvas" divides the canvas by the grid, as torchvision
    # does; "level" is 2**level, as in Detectron2.
    stride_rule: Literal["canvas", "level"] = "canvas"
    rounded_anchors: bool = True  # Round anchors to whole pixels, as torchvision does.
    positive_iou: float = 0.7  # IoU with an object from which an anchor is a positive.
    negative_iou: float = 0.3  # IoU below which an anchor is a negative.
    num_samples: int = 256  # Anchors of an image in the loss.
    positive_fraction: float = 0.5  # Largest share of positives in the sample.
    smooth_l1_beta: float = 1 / 9  # Error of a delta at which smooth-L1 becomes linear.
    # Weight of the box loss; 1 is the paper's λ of 10, as both losses count samples.
    box_loss_weight: float = 1.0
    pre_nms: int = 1000  # Best anchors of each level that enter suppression.
    post_nms: int = 1000  # Most proposals of an image.
    # Best anchors of each level that enter suppression in training.
    training_pre_nms: int = 2000
    training_post_nms: int = 2000  # Most proposals of an image in training.
    nms_threshold: float = 0.7  # IoU above which the lower of two proposals is dropped.
    score_threshold: float = 0.0  # Lowest score of a proposal.
    min_side: float = 1e-3  # Side in pixels below which a proposal is dropped.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> RPNOutputs:
        """Returns objectness logits and deltas for every level of `pyramid`."""
        del train  # there is no norm
        num_anchors = self._num_anchors(pyramid)
        channels = next(iter(pyramid.values())).shape[-1]
        init = nn.initializers.normal(0.01)
        conv = partial(Conv, kernel_init=init, dtype=self.dtype)
        convs = [conv(channels, 3, name=f"conv{j}") for j in range(self.num_convs)]
        objectness = conv(num_anchors, 1, name="objectness")
        deltas = conv(4 * num_anchors, 1, name="deltas")
        outputs = RPNOutputs(objectness={}, deltas={})
        for level in sorted(pyramid):
            x = jnp.asarray(pyramid[level])
            strips = strips_of(x)
            x = cut(x, strips)
            for layer in convs:
                x = nn.relu(layer(x, strips=strips))
            outputs.objectness[level] = joined(objectness(x), strips)
            outputs.deltas[level] = joined(deltas(x), strips)
        return outputs

    def loss(
        self,
        outputs: RPNOutputs,
        sizes: jax.Array,
        targets: Targets,
        *,
        canvas: tuple[int, int],
        keys: jax.Array,
    ) -> dict[str, LossTerm]:
        """Returns `rpn_objectness` and `rpn_box`, both over the sampled anchors.

        Binary cross-entropy on the sampled anchors, smooth-L1 on the positive ones
        (Faster R-CNN, eq. 1). `keys [B]` draw the sample of each image. Crowd regions
        are matched with nothing. An image of size 0 (`sizes [B, 2]`) is padding of the
        batch and has no sample.
        """
        anchors = jnp.concatenate(
            list(self.places(grids_of(outputs.objectness), canvas=canvas).values())
        )
        logits, deltas = _concatenate_levels(outputs)
        targets = learnable(targets, sizes)
        bce, box, count = jax.vmap(self._image_loss, in_axes=(0, 0, None, 0, 0, 0, 0))(
            logits,
            deltas,
            anchors,
            targets.boxes,
            targets.valid,
            is_image(sizes),
            keys,
        )
        return {
            "rpn_objectness": LossTerm(bce.sum(), count.sum()),
            "rpn_box": LossTerm(self.box_loss_weight * box.sum(), count.sum()),
        }

    def proposals(
        self,
        outputs: RPNOutputs,
        sizes: jax.Array,
        *,
        canvas: tuple[int, int],
        train: bool = False,
    ) -> Proposals:
        """Returns at most `post_nms` proposals of each image, by falling score.

        The best `pre_nms` anchors of each level are decoded, clipped to the image
        (`sizes [B, 2]`: height, width), suppressed level by level, and merged. Equal
        scores keep the order of the anchors. With `train` the numbers are
        `training_pre_nms` and `training_post_nms`.
        """
        pre_nms = self.training_pre_nms if train else self.pre_nms
        post_nms = self.training_post_nms if train else self.post_nms
        levels = [
            self._level_candidates(outputs, level, anchors, sizes, pre_nms=pre_nms)
            for level, anchors in self.places(
                grids_of(outputs.objectness), canvas=canvas
            ).items()
        ]
        boxes, scores, kept = (
            jnp.concatenate(field, axis=1) for field in zip(*levels, strict=True)
        )  # [B, levels * pre_nms, …], less where a level has fewer anchors
        ranks = jnp.where(kept, scores, -1.0)
        best, index = jax.lax.top_k(ranks, min(post_nms, ranks.shape[-1]))
        return Proposals(
            boxes=jnp.take_along_axis(boxes, index[..., None], axis=1),
            scores=jnp.maximum(best, 0.0),
            valid=best >= 0,
        )

    def places(
        self, grids: dict[int, tuple[int, int]], *, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns the anchors [H W A, 4] of every level's grid (rows, columns)."""
        return pyramid_anchors(
            canvas,
            grids,
            dict(zip(sorted(grids), self.anchor_sizes, strict=True)),
            self.anchor_ratios,
            stride_rule=self.stride_rule,
            rounded=self.rounded_anchors,
        )

    def _num_anchors(self, pyramid: Pyramid) -> int:
        per_level = {len(sizes) for sizes in self.anchor_sizes}
        if len(self.anchor_sizes) != len(pyramid) or len(per_level) != 1:
            raise ValueError(
                f"anchor_sizes must give as many sizes to each of the pyramid's levels "
                f"{sorted(pyramid)}, got {self.anchor_sizes}"
            )
        return per_level.pop() * len(self.anchor_ratios)

    def _image_loss(self, logits, deltas, anchors, boxes, valid, real, key):
        match = match_by_iou(
            anchors,
            boxes,
            valid,
            positive_iou=self.positive_iou,
            negative_iou=self.negative_iou,
            low_quality=True,
        )
        sample = balanced_sample(
            match.positive & real,
            match.negative & real,
            num=self.num_samples,
            positive_fraction=self.positive_fraction,
            key=key,
        )
        bce = optax.sigmoid_binary_cross_entropy(
            logits[sample.index], sample.positive.astype(jnp.float32)
        )
        wanted = encode_deltas(
            boxes[match.index[sample.index]], rows_of(anchors, sample.index)
        )
        box = smooth_l1(deltas[sample.index], wanted, beta=self.smooth_l1_beta)
        return (
            jnp.sum(bce, where=sample.valid),
            jnp.sum(box, where=(sample.positive & sample.valid)[:, None]),
            jnp.sum(sample.valid, dtype=jnp.float32),
        )

    def _level_candidates(self, outputs, level, anchors, sizes, *, pre_nms):
        """Returns boxes [B, M, 4] of a level, scores, and which of them stay."""
        logits = anchor_rows(outputs.objectness[level], 1)[..., 0].astype(jnp.float32)
        best, index = jax.lax.top_k(logits, min(pre_nms, logits.shape[1]))
        deltas = anchor_rows_at(outputs.deltas[level], index, 4)
        chosen = jax.vmap(partial(rows_of, anchors))(index)
        return jax.vmap(self._kept)(best, deltas, chosen, sizes)

    def _kept(self, logits, deltas, anchors, size):
        """Returns the boxes of one image, scores, and which of them stay."""
        boxes = clip(decode_deltas(deltas, anchors), size)
        scores = jax.nn.sigmoid(logits)
        sides = boxes[:, 2:] - boxes[:, :2]
        valid = (sides >= self.min_side).all(axis=-1) & (scores >= self.score_threshold)
        valid &= is_image(size)
        kept = nms(boxes, scores, valid, iou_threshold=self.nms_threshold)
        return boxes, scores, kept


def _concatenate_levels(outputs: RPNOutputs) -> tuple[jax.Array, jax.Array]:
    """Returns float32 logits [B, N] and deltas [B, N, 4] in the anchors' order."""
    levels = sorted(outputs.objectness)
    logits = [anchor_rows(outputs.objectness[level], 1)[..., 0] for level in levels]
    deltas = [anchor_rows(outputs.deltas[level], 4) for level in levels]
    return (
        jnp.concatenate(logits, axis=1).astype(jnp.float32),
        jnp.concatenate(deltas, axis=1).astype(jnp.float32),
    )
