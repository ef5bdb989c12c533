"""Backbone + neck + dense head: RetinaNet, FCOS, YOLOX, YOLOv3."""

from typing import Unpack

import flax.linen as nn
import jax

from fpn_jax.detectors.contract import Limits, Measured
from fpn_jax.detectors.features import (
    ChannelOrder,
    anchored,
    canvas_of,
    check_targets,
    frozen_parts,
    pyramid,
)
from fpn_jax.detectors.fields import of_part, with_head_limits
from fpn_jax.types import Detections, LossTerm, Targets


class OneStage(nn.Module):
    """Raw outputs of a dense head for a batch of images; its loss; its detections.

    `images [B, H, W, 3]` are RGB, uint8 or float32 in 0 … 255, on a canvas whose sides
    are multiples of the coarsest stride of the backbone; `sizes [B, 2]` is the height
    and width of each image inside its canvas, (0, 0) for padding of the batch.
    """

    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Neck, which turns the backbone's levels into the levels that heads see.
    neck: nn.Module
    head: nn.Module  # Dense head, which finds and classifies objects in one step.
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    # Order of the colors that the backbone is given.
    channel_order: ChannelOrder = "rgb"
    # Value of the pixels outside an image, by default the mean.
    padding_value: float | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes of the head."""
        return of_part(self, "head", "num_classes")

    @property
    def measures(self) -> tuple[Measured, ...]:
        """Average precision of boxes."""
        return ("boxes",)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Frozen stages of the backbone."""
        return frozen_parts(self.backbone)

    @property
    def first_stage(self) -> nn.Module | None:
        """The head where it has anchors of given sizes and ratios (RetinaNet)."""
        return anchored(self.head)

    def __call__(self, images: jax.Array, sizes: jax.Array, *, train: bool = False):
        """Returns the outputs of the head, a pytree of its own type."""
        features = pyramid(
            self,
            images,
            sizes,
            train=train,
            channel_order=self.channel_order,
            padding_value=self.padding_value,
        )
        return self.head(features, train=train)

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of the head's loss; `keys [B]` are for one that samples."""
        check_targets(images, targets, keys)
        outputs = self(images, sizes, train=train)
        return self.head.loss(
            outputs, sizes, targets, canvas=canvas_of(images), keys=keys
        )

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the best boxes of each image after suppression, by falling score."""
        outputs = self(images, sizes)
        return self.head.detections(outputs, sizes, canvas=canvas_of(images))

    def with_thresholds(self, **limits: Unpack[Limits]) -> "OneStage":
        """Returns the detector with other limits on its detections; None keeps one."""
        return with_head_limits(self, "head", **limits)
