"""A backbone alone, from pixels to its levels: the form of a converted classifier."""

import flax.linen as nn
import jax

from fpn_jax.ops.images import normalize
from fpn_jax.types import Pyramid


class FeatureExtractor(nn.Module):
    """The levels of a batch of images; its variables are a part of every detector's.

    `images [B, H, W, 3]` are RGB, uint8 or float32 in 0 … 255, on a canvas whose sides
    are multiples of the coarsest stride of the backbone; `sizes [B, 2]` is the height
    and width of each image inside its canvas.
    """

    # Backbone, which turns an image into feature maps of several levels.
    backbone: nn.Module
    # Mean of the red, green and blue pixels in 0 … 1, by default ImageNet's.
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    # Standard deviation of the red, green and blue pixels, by default ImageNet's.
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __call__(
        self, images: jax.Array, sizes: jax.Array, *, train: bool = False
    ) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, C]}."""
        pixels = normalize(images, sizes, mean=self.image_mean, std=self.image_std)
        return self.backbone(pixels, train=train)
