"""Pixels to network input."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

from fpn_jax.ops.boxes import Number

Color = tuple[Number, Number, Number]
"""One number per channel, in the channel order of the images."""


def normalize(
    images: Real[Array, "b h w 3"],
    sizes: Int[Array, "b 2"],
    *,
    mean: Color,
    std: Color,
    padding_value: Number | None = None,
) -> Float[Array, "b h w 3"]:
    """Returns (images / 255 - mean) / std in float32, and zero outside each image.

    Images are uint8 or float, 0 … 255; sizes are (height, width) inside the canvas. The
    padding is zero *after* normalization, as in torchvision: what it held before does
    not matter. With `padding_value` it is what pixels of that value become.
    """
    _, height, width, _ = images.shape
    center = jnp.asarray(mean, jnp.float32)[None, None, None]
    spread = jnp.asarray(std, jnp.float32)[None, None, None]
    pixels = (images.astype(jnp.float32) / 255 - center) / spread
    sizes = sizes.astype(jnp.int32)
    row_inside = jnp.arange(height, dtype=jnp.int32)[None] < sizes[:, :1]
    column_inside = jnp.arange(width, dtype=jnp.int32)[None] < sizes[:, 1:]
    inside = row_inside[:, :, None, None] & column_inside[:, None, :, None]
    if padding_value is None:
        return jnp.where(inside, pixels, 0)
    padding = (jnp.float32(padding_value) / 255 - center) / spread
    return jnp.where(inside, pixels, padding)


def is_image(sizes: Int[Array, "*b 2"]) -> Bool[Array, "*b"]:
    """Tells images from the padding of a batch, whose height and width are 0."""
    return (sizes > 0).all(axis=-1)
