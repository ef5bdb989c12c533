"""The region proposal network (Faster R-CNN, section 3; on a pyramid: FPN, 4.1).

One 3x3 convolution and two sibling 1x1 convolutions, shared over the levels, give every
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
from fpn_jax.ops.anchors import pyramid_anchors
from fpn_jax.ops.boxes import clip, decode_deltas, encode_deltas
from fpn_jax.ops.losses import smooth_l1
from fpn_jax.ops.matching import match_by_iou
from fpn_jax.ops.nms import nms
from fpn_jax.ops.sampling import balanced_sample
from fpn_jax.types import LossTerm, Proposals, Pyramid, Targets


@flax.struct.dataclass
class RPNOutputs:
    """What the network says of every anchor, level by level."""

    objectness: Pyramid  # {level: [B, H, W, A]} logits
    deltas: Pyramid  # {level: [B, H, W, 4 A]}, the four of an anchor side by side


class RPNHead(nn.Module):
    """Raw objectness and deltas of a pyramid; loss and proposals made from them."""

    # Anchors: the paper's 32² … 512² on P2 … P6, three ratios (height / width).
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    # Strides: canvas // grid as in torchvision, or 2**level as Detectron2's.
    stride_rule: Literal["canvas", "level"] = "canvas"
    rounded_anchors: bool = True  # to whole pixels, as torchvision's
    # Targets.
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    num_samples: int = 256  # anchors per image in the loss
    positive_fraction: float = 0.5
    # Loss. The paper's λ is 10 with its two normalisers, 1 with the common one here.
    smooth_l1_beta: float = 1 / 9
    box_loss_weight: float = 1.0
    # Proposals.
    pre_nms: int = 1000  # best anchors of each level that enter suppression
    post_nms: int = 1000  # proposals of an image
    nms_threshold: float = 0.7
    score_threshold: float = 0.0
    min_side: float = 1e-3  # pixels; smaller proposals are dropped
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid) -> RPNOutputs:
        """Returns objectness logits and deltas for every level of `pyramid`."""
        num_anchors = self._num_anchors(pyramid)
        channels = next(iter(pyramid.values())).shape[-1]
        init = nn.initializers.normal(0.01)
        conv = Conv(channels, 3, kernel_init=init, dtype=self.dtype, name="conv")
        objectness = Conv(
            num_anchors, 1, kernel_init=init, dtype=self.dtype, name="objectness"
        )
        deltas = Conv(
            4 * num_anchors, 1, kernel_init=init, dtype=self.dtype, name="deltas"
        )
        hidden = {level: nn.relu(conv(pyramid[level])) for level in sorted(pyramid)}
        return RPNOutputs(
            objectness={level: objectness(x) for level, x in hidden.items()},
            deltas={level: deltas(x) for level, x in hidden.items()},
        )

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
        anchors = jnp.concatenate(list(self.anchors(outputs, canvas).values()))
        logits, deltas = _concatenate_levels(outputs)
        bce, box, count = jax.vmap(self._image_loss, in_axes=(0, 0, None, 0, 0, 0, 0))(
            logits,
            deltas,
            anchors,
            targets.boxes,
            targets.valid & ~targets.crowd,
            (sizes > 0).all(axis=-1),
            keys,
        )
        return {
            "rpn_objectness": LossTerm(bce.sum(), count.sum()),
            "rpn_box": LossTerm(self.box_loss_weight * box.sum(), count.sum()),
        }

    def proposals(
        self, outputs: RPNOutputs, sizes: jax.Array, *, canvas: tuple[int, int]
    ) -> Proposals:
        """Returns at most `post_nms` proposals of each image, by falling score.

        The best `pre_nms` anchors of each level are decoded, clipped to the image
        (`sizes [B, 2]`: height, width), suppressed level by level, and merged. Equal
        scores keep the order of the anchors.
        """
        levels = [
            jax.vmap(self._level_candidates, in_axes=(0, 0, None, 0))(
                outputs.objectness[level].reshape(len(sizes), -1),
                outputs.deltas[level].reshape(len(sizes), -1, 4),
                anchors,
                sizes,
            )
            for level, anchors in self.anchors(outputs, canvas).items()
        ]
        boxes, scores, valid = (
            jnp.stack(field, axis=1) for field in zip(*levels, strict=True)
        )  # [B, L, pre_nms, …]
        suppress = jax.vmap(jax.vmap(partial(nms, iou_threshold=self.nms_threshold)))
        kept = suppress(boxes, scores, valid).reshape(len(sizes), -1)
        boxes = boxes.reshape(len(sizes), -1, 4)
        ranks = jnp.where(kept, scores.reshape(len(sizes), -1), -1.0)
        best, index = jax.lax.top_k(ranks, min(self.post_nms, ranks.shape[-1]))
        return Proposals(
            boxes=jnp.take_along_axis(boxes, index[..., None], axis=1),
            scores=jnp.maximum(best, 0.0),
            valid=best >= 0,
        )

    def anchors(
        self, outputs: RPNOutputs, canvas: tuple[int, int]
    ) -> dict[int, jax.Array]:
        """Returns the anchors [H W A, 4] of every level, finest first."""
        grids = {level: x.shape[1:3] for level, x in outputs.objectness.items()}
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
        wanted = encode_deltas(boxes[match.index[sample.index]], anchors[sample.index])
        box = smooth_l1(deltas[sample.index], wanted, beta=self.smooth_l1_beta)
        return (
            jnp.sum(bce, where=sample.valid),
            jnp.sum(box, where=(sample.positive & sample.valid)[:, None]),
            jnp.sum(sample.valid, dtype=jnp.float32),
        )

    def _level_candidates(self, logits, deltas, anchors, size):
        """Returns `pre_nms` rows (boxes, scores, valid) of one image and level."""
        k = min(self.pre_nms, len(logits))
        best, index = jax.lax.top_k(logits.astype(jnp.float32), k)
        boxes = clip(decode_deltas(deltas[index], anchors[index]), size)
        scores = jax.nn.sigmoid(best)
        sides = boxes[:, 2:] - boxes[:, :2]
        valid = (sides >= self.min_side).all(axis=-1) & (scores >= self.score_threshold)
        padding = self.pre_nms - k  # small levels have fewer anchors
        return (
            jnp.pad(boxes, ((0, padding), (0, 0))),
            jnp.pad(scores, (0, padding)),
            jnp.pad(valid, (0, padding)),
        )


def _concatenate_levels(outputs: RPNOutputs) -> tuple[jax.Array, jax.Array]:
    """Returns float32 logits [B, N] and deltas [B, N, 4] in the anchors' order."""
    levels = sorted(outputs.objectness)
    batch = len(outputs.objectness[levels[0]])
    logits = [outputs.objectness[level].reshape(batch, -1) for level in levels]
    deltas = [outputs.deltas[level].reshape(batch, -1, 4) for level in levels]
    return (
        jnp.concatenate(logits, axis=1).astype(jnp.float32),
        jnp.concatenate(deltas, axis=1).astype(jnp.float32),
    )
