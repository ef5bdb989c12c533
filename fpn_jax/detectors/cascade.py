"""Cascade R-CNN (Cai and Vasconcelos 2018): box heads that refine each other's boxes.

Every stage is trained on the boxes of the stage before it, matched at a higher IoU. The
details are Detectron2's (`CascadeROIHeads`).
"""

from collections.abc import Sequence
from typing import Any, Unpack

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from fpn_jax.detectors.contract import Limits, Measured
from fpn_jax.detectors.features import (
    anchored,
    canvas_of,
    check_targets,
    frozen_parts,
    pyramid,
)
from fpn_jax.detectors.fields import of_part, with_limits
from fpn_jax.heads.box import BoxOutputs
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNOutputs
from fpn_jax.types import (
    Detections,
    LossTerm,
    Proposals,
    Pyramid,
    Targets,
    exportable,
)


@exportable
@flax.struct.dataclass
class CascadeOutputs:
    """Raw outputs of every head, with the boxes that they belong to."""

    rpn: RPNOutputs
    proposals: Proposals  # of the RPN: the boxes of the first stage
    boxes: tuple[jax.Array, ...]  # [B, R, 4] of every stage
    stages: tuple[BoxOutputs, ...]  # of these boxes
    detections: Detections  # of all stages together
    masks: Any = None  # [B, D, M, M, K+1] logits of the detections


class Cascade(nn.Module):
    """Raw outputs of a batch of images; their loss; final detections.

    The probability of a detection is the mean over the stages, and its box comes from
    the last one. Masks are trained on the sample of the first stage. Images and sizes
    are as in `TwoStage`.
    """

    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Neck, which turns the backbone's levels into the levels that heads see.
    neck: nn.Module
    rpn: nn.Module  # Proposal head, which says where objects of any class may be.
    # Box heads, one for each stage; the first one draws the training samples.
    box_heads: tuple[nn.Module, ...]
    # Mask head, which draws a mask in each box.
    mask_head: MaskHead | nn.Module | None = None
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def num_classes(self) -> int:
        """Number of classes of the box heads."""
        return of_part(self, "box_heads.0", "num_classes")

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Average precision of boxes, and of masks where there is a head for them."""
        return ("boxes",) if self.mask_head is None else ("boxes", "masks")

    @property
    def frozen(self) -> tuple[str, ...]:
        """Frozen stages of the backbone."""
        return frozen_parts(self.backbone)

    @property
    def pool(self) -> RoIPool:
        """The pooling of the first box head."""
        return of_part(self, "box_heads.0", "pool")

    @property
    def first_stage(self) -> nn.Module | None:
        """The proposal head where it has anchors of given sizes and ratios."""
        return anchored(self.rpn)

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> CascadeOutputs:
        """Returns the outputs of every head: masks of the final boxes."""
        canvas = canvas_of(images)
        features = pyramid(self, images, sizes, train=train)
        rpn = self.rpn(features, train=train)
        # Taken as they are, as in Detectron2: no gradient flows through them.
        proposals = jax.lax.stop_gradient(self.rpn.proposals(rpn, sizes, canvas=canvas))
        given, boxes, stages = proposals.boxes, [], []
        for head in self.box_heads:
            boxes.append(given)
            stages.append(head(features, given, canvas=canvas, train=train))
            given = _moved(head, stages[-1], given, sizes)
        found = Proposals(boxes[-1], proposals.scores, proposals.valid)
        detections = self.box_heads[-1].detections(mean_outputs(stages), found, sizes)
        masks = None
        if self.mask_head is not None:
            masks = self.mask_head(
                features, detections.boxes, canvas=canvas, train=train
            )
        return CascadeOutputs(
            rpn, proposals, tuple(boxes), tuple(stages), detections, masks
        )

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of every head, a stage's as `class_stage1` and so on.

        `keys [B]` draw each image's samples. The first stage is trained on a sample of
        the proposals, a later one on the boxes that the stage before it makes of them,
        taken as they are and matched anew. The losses of the stages are added, and what
        they pass to the pyramid is divided by their number, as in Detectron2.
        """
        check_targets(images, targets, keys)
        canvas = canvas_of(images)
        features = pyramid(self, images, sizes, train=train)
        # Columns, as in `TwoStage`.
        halves = jax.vmap(jax.random.split)(keys)
        rpn = self.rpn(features, train=train)
        terms = self.rpn.loss(rpn, sizes, targets, canvas=canvas, keys=halves[:, 0])
        # As many as in training also where the loss is only measured: comparable.
        proposals = self.rpn.proposals(
            jax.lax.stop_gradient(rpn), sizes, canvas=canvas, train=True
        )
        sampled = self.box_heads[0].sample(proposals, targets, sizes, keys=halves[:, 1])
        shared = _with_gradient_times(1 / len(self.box_heads), features)
        samples = sampled
        for i, head in enumerate(self.box_heads):
            outputs = head(
                shared, samples.boxes, samples.valid, canvas=canvas, train=train
            )
            of_stage = head.loss(outputs, samples, targets)
            terms |= {f"{name}_stage{i + 1}": x for name, x in of_stage.items()}
            if i + 1 < len(self.box_heads):
                boxes = _moved(head, outputs, samples.boxes, sizes)
                samples = self.box_heads[i + 1].match(boxes, samples.valid, targets)
        if self.mask_head is not None:
            samples = self.box_heads[0].positives(sampled)
            masks = self.mask_head(
                features, samples.boxes, samples.positive, canvas=canvas, train=train
            )
            terms |= self.mask_head.loss(masks, samples, targets)
        return terms

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the final boxes of each image, with masks of them."""
        outputs = self(images, sizes)
        found = outputs.detections
        if self.mask_head is not None:
            found = self.mask_head.detections(outputs.masks, found, sizes)
        return found

    def with_thresholds(self, **limits: Unpack[Limits]) -> "Cascade":
        """Returns the detector with other limits on its detections; None keeps one."""
        *others, last = self.box_heads
        return self.clone(box_heads=(*others, with_limits(last, **limits)))


def _moved(
    head: nn.Module, outputs: BoxOutputs, boxes: jax.Array, sizes: jax.Array
) -> jax.Array:
    """Returns the boxes as a stage moves them, for the next one.

    No gradient flows through them.
    """
    return jax.lax.stop_gradient(head.moved(outputs, boxes, sizes))


def mean_outputs(stages: Sequence[BoxOutputs]) -> BoxOutputs:
    """Returns the deltas of the last stage and logits of the mean probabilities."""
    logs = [jax.nn.log_softmax(x.logits.astype(jnp.float32)) for x in stages]
    mean = jax.nn.logsumexp(jnp.stack(logs), axis=0)
    return BoxOutputs(logits=mean, deltas=stages[-1].deltas)


def _with_gradient_times(factor: float, features: Pyramid) -> Pyramid:
    """Returns the features as they are, with a gradient that is multiplied."""

    def scaled(x: jax.Array) -> jax.Array:
        part = factor * x
        return jax.lax.stop_gradient(x) + (part - jax.lax.stop_gradient(part))

    return jax.tree.map(scaled, features)
