"""Backbone + neck + RPN + heads on its boxes: Faster, Mask and Keypoint R-CNN."""

from typing import Any, Unpack

import flax.linen as nn
import flax.struct
import jax

from fpn_jax.detectors.contract import Limits, Measured
from fpn_jax.detectors.features import (
    anchored,
    canvas_of,
    check_targets,
    frozen_parts,
    pyramid,
)
from fpn_jax.detectors.fields import of_part, with_head_limits
from fpn_jax.heads.box import BoxOutputs
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNOutputs
from fpn_jax.types import Detections, LossTerm, Proposals, Targets, exportable


@exportable
@flax.struct.dataclass
class TwoStageOutputs:
    """Raw outputs of every head, with the boxes that they belong to."""

    rpn: RPNOutputs
    proposals: Proposals  # of the RPN
    box: BoxOutputs  # of the proposals
    detections: Detections  # of the box head
    masks: Any = None  # [B, D, M, M, K+1] logits of the detections
    heatmaps: Any = None  # [B, D, M, M, P] logits of the detections


class TwoStage(nn.Module):
    """Raw outputs of a batch of images; their loss; final detections.

    `images [B, H, W, 3]` are RGB, uint8 or float32 in 0 … 255, on a canvas whose sides
    are multiples of the coarsest stride of the backbone; `sizes [B, 2]` is the height
    and width of each image inside its canvas, (0, 0) for padding of the batch.
    """

    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Neck, which turns the backbone's levels into the levels that heads see.
    neck: nn.Module
    rpn: nn.Module  # Proposal head, which says where objects of any class may be.
    # Box head, which classifies and refines the proposals, and draws training samples.
    box_head: nn.Module
    # Mask head, which draws a mask in each box.
    mask_head: MaskHead | nn.Module | None = None
    # Keypoint head, which finds the keypoints in each box.
    keypoint_head: KeypointHead | nn.Module | None = None
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def num_classes(self) -> int:
        """Number of classes of the box head."""
        return of_part(self, "box_head", "num_classes")

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Average precision of boxes, and of masks and keypoints with their heads."""
        masks = () if self.mask_head is None else ("masks",)
        keypoints = () if self.keypoint_head is None else ("keypoints",)
        return ("boxes", *masks, *keypoints)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Frozen stages of the backbone."""
        return frozen_parts(self.backbone)

    @property
    def pool(self) -> RoIPool:
        """The pooling of the box head."""
        return of_part(self, "box_head", "pool")

    @property
    def first_stage(self) -> nn.Module | None:
        """The proposal head where it has anchors of given sizes and ratios."""
        return anchored(self.rpn)

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> TwoStageOutputs:
        """Returns the outputs of every head: masks and keypoints of the final boxes."""
        canvas = canvas_of(images)
        features = pyramid(self, images, sizes, train=train)
        rpn = self.rpn(features, train=train)
        # Taken as they are, as in torchvision: no gradient flows through them.
        proposals = jax.lax.stop_gradient(self.rpn.proposals(rpn, sizes, canvas=canvas))
        box = self.box_head(features, proposals.boxes, canvas=canvas, train=train)
        detections = self.box_head.detections(box, proposals, sizes)
        masks = heatmaps = None
        if self.mask_head is not None:
            masks = self.mask_head(
                features, detections.boxes, canvas=canvas, train=train
            )
        if self.keypoint_head is not None:
            heatmaps = self.keypoint_head(
                features, detections.boxes, canvas=canvas, train=train
            )
        return TwoStageOutputs(rpn, proposals, box, detections, masks, heatmaps)

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of every head; `keys [B]` draw each image's samples.

        The box head is trained on the proposals of the moment, taken as they are: no
        gradient flows through their coordinates. Masks and keypoints are trained on the
        positives of the same sample.
        """
        check_targets(images, targets, keys)
        canvas = canvas_of(images)
        features = pyramid(self, images, sizes, train=train)
        # Columns, not the two halves of a transposed array, which JAX's checker takes
        # for keys used twice.
        halves = jax.vmap(jax.random.split)(keys)
        rpn_keys, box_keys = halves[:, 0], halves[:, 1]
        rpn = self.rpn(features, train=train)
        terms = self.rpn.loss(rpn, sizes, targets, canvas=canvas, keys=rpn_keys)

        # As many as in training also where the loss is only measured: comparable.
        proposals = self.rpn.proposals(
            jax.lax.stop_gradient(rpn), sizes, canvas=canvas, train=True
        )
        samples = self.box_head.sample(proposals, targets, sizes, keys=box_keys)
        box = self.box_head(
            features, samples.boxes, samples.valid, canvas=canvas, train=train
        )
        terms |= self.box_head.loss(box, samples, targets)

        samples = self.box_head.positives(samples)
        boxes, positive = samples.boxes, samples.positive
        if self.mask_head is not None:
            masks = self.mask_head(
                features, boxes, positive, canvas=canvas, train=train
            )
            terms |= self.mask_head.loss(masks, samples, targets)
        if self.keypoint_head is not None:
            heatmaps = self.keypoint_head(
                features, boxes, positive, canvas=canvas, train=train
            )
            terms |= self.keypoint_head.loss(heatmaps, samples, targets)
        return terms

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the final boxes of each image, with masks and keypoints of them."""
        outputs = self(images, sizes)
        found = outputs.detections
        if self.mask_head is not None:
            found = self.mask_head.detections(outputs.masks, found, sizes)
        if self.keypoint_head is not None:
            found = self.keypoint_head.detections(outputs.heatmaps, found, sizes)
        return found

    def with_thresholds(self, **limits: Unpack[Limits]) -> "TwoStage":
        """Returns the detector with other limits on its detections; None keeps one."""
        return with_head_limits(self, "box_head", **limits)
