"""Backbone + neck + dense head: RetinaNet, FCOS, YOLOX, YOLOv3."""

import flax.linen as nn
import jax

from fpn_jax.ops.images import normalize
from fpn_jax.types import Detections, LossTerm, Targets


class OneStage(nn.Module):
    """Raw outputs of a dense head for a batch of images; its loss; its detections.

    `images [B, H, W, 3]` are RGB, uint8 or float32 in 0 … 255, on a canvas whose sides
    are multiples of the coarsest stride of the backbone; `sizes [B, 2]` is the height
    and width of each image inside its canvas, (0, 0) for padding of the batch.
    """

    # Submodules.
    backbone: nn.Module
    neck: nn.Module
    head: nn.Module
    # Parameters: ImageNet statistics, of pixels in 0 … 1.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __call__(self, images: jax.Array, sizes: jax.Array, *, train: bool = False):
        """Returns the outputs of the head, a pytree of its own type."""
        pixels = normalize(images, sizes, mean=self.image_mean, std=self.image_std)
        pyramid = self.neck(self.backbone(pixels, train=train), train=train)
        return self.head(pyramid, train=train)

    def loss(
        self,
        images: jax.Array,
        sizes: jax.Array,
        targets: Targets,
        *,
        keys: jax.Array,
        train: bool = False,
    ) -> dict[str, LossTerm]:
        """Returns the terms of the head's loss; every position counts, so that the
        `keys [B]` of other detectors' samples draw nothing here."""
        del keys
        outputs = self(images, sizes, train=train)
        return self.head.loss(outputs, sizes, targets, canvas=images.shape[1:3])

    def detect(self, images: jax.Array, sizes: jax.Array) -> Detections:
        """Returns the best boxes of each image after suppression, by falling score."""
        outputs = self(images, sizes)
        return self.head.detections(outputs, sizes, canvas=images.shape[1:3])
