"""Backbone + neck + RPN: class-agnostic proposals (FPN, section 4.1)."""

from typing import Unpack

import flax.linen as nn
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
from fpn_jax.detectors.fields import with_head_limits
from fpn_jax.heads.rpn import RPNOutputs
from fpn_jax.types import Detections, LossTerm, Proposals, Targets


class ProposalNetwork(nn.Module):
    """Raw RPN outputs of a batch of images; its loss; its proposals as detections.

    `images [B, H, W, 3]` are RGB, uint8 or float32 in 0 … 255, on a canvas whose sides
    are multiples of the coarsest stride of the backbone; `sizes [B, 2]` is the height
    and width of each image inside its canvas.
    """

    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Neck, which turns the backbone's levels into the levels that heads see.
    neck: nn.Module
    head: nn.Module  # Proposal head, which says where objects of any class may be.
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def num_classes(self) -> None:
        """None: a proposal has no class."""
        return None

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Average recall of proposals."""
        return ("proposals",)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Frozen stages of the backbone."""
        return frozen_parts(self.backbone)

    @property
    def first_stage(self) -> nn.Module | None:
        """The head itself where it has anchors of given sizes and ratios."""
        return anchored(self.head)

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> RPNOutputs:
        """Returns objectness logits and deltas of every level."""
        return self.head(pyramid(self, images, sizes, train=train), train=train)

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of the RPN loss; `keys [B]` sample each image's anchors."""
        check_targets(images, targets, keys)
        outputs = self(images, sizes, train=train)
        return self.head.loss(
            outputs, sizes, targets, canvas=canvas_of(images), keys=keys
        )

    def propose(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> Proposals:
        """Returns the proposals of each image; with `train` as many as a second stage
        is trained on. Norms use their running statistics."""
        outputs = self(images, sizes)
        canvas = canvas_of(images)
        return self.head.proposals(outputs, sizes, canvas=canvas, train=train)

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the proposals of each image, all of class 0, by falling score."""
        proposals = self.propose(images, sizes)
        return Detections(
            boxes=proposals.boxes,
            scores=proposals.scores,
            labels=jnp.zeros(proposals.scores.shape, jnp.int32),
            valid=proposals.valid,
        )

    def with_thresholds(self, **limits: Unpack[Limits]) -> "ProposalNetwork":
        """Returns the detector with other limits on its proposals; None keeps one."""
        number = limits.pop("max_detections", None)
        return with_head_limits(self, "head", post_nms=number, **limits)
