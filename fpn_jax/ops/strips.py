"""Few images as many strips of them, for a TPU.

A TPU keeps the batch beside the channels while it convolves, eight images at a time;
XLA makes eight of fewer by cutting them up for each convolution anew, and for the
gradient of a kernel it writes three shifted copies. Cut once, with the columns of the
neighbors put beside each strip where a kernel reaches them, features stay cut through a
whole backbone or tower. From stage 2 to stage 5 a ResNet-50 takes 0.6 of the time with
its gradients (two images of 800x1344, compiled for a v5e chip); with eight images
strips would cost more than they save.
"""

from functools import partial
from math import gcd

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpn_jax.ops.meshes import images_per_device, is_for_tpu

_FULL = 8  # images that a TPU works on at a time
_NARROWEST = 8  # columns of a strip; a narrower one would copy many of its neighbors


def strips_of(x: Float[Array, "b h w c"], *, reduction: int = 1) -> int:
    """Returns how many strips each image is best cut into; 1 is none.

    They are as many as make the images of a device a multiple of eight, where the
    program is known to be for a TPU (`meshes.traced_on`) and the width, divided by
    `reduction`, allows it.
    """
    if not is_for_tpu(x) or not all(isinstance(side, int) for side in x.shape):
        return 1  # exported for any number of images
    count = _FULL // gcd(images_per_device(x), _FULL)
    width = x.shape[2]
    whole = width % (count * reduction) == 0
    return count if whole and is_wide(width // count // reduction) else 1


def is_full(x: Float[Array, "b h w c"]) -> bool:
    """Whether each TPU is known to have a multiple of eight images, or strips."""
    known = isinstance(x.shape[0], int) and is_for_tpu(x)
    return known and images_per_device(x) % _FULL == 0


def is_wide(columns: int) -> bool:
    """Whether a strip of so many columns is worth its neighbors' columns."""
    return columns >= _NARROWEST


def cut(x: Float[Array, "b h w c"], count: int) -> Float[Array, "_n h _w c"]:
    """Returns strips of each image, from left to right, in place of the images."""
    if count == 1:
        return x
    b, h, w, c = x.shape
    x = x.reshape(b, h, count, w // count, c)
    return x.transpose(0, 2, 1, 3, 4).reshape(b * count, h, w // count, c)


def joined(strips: Float[Array, "n h w c"], count: int) -> Float[Array, "_b h _w c"]:
    """Returns the images that `cut` has cut into strips."""
    if count == 1:
        return strips
    n, h, w, c = strips.shape
    strips = strips.reshape(n // count, count, h, w, c)
    return strips.transpose(0, 2, 1, 3, 4).reshape(n // count, h, count * w, c)


def _beside_neighbors(
    strips: Float[Array, "n h w c"], count: int, *, left: int, right: int
) -> Float[Array, "n h _w c"]:
    """Returns strips with columns of those on both sides, 0 at the image's edges."""
    n, h, w, c = strips.shape
    none = ((0, 0),) * 3
    sides = []
    if left:
        columns = strips[:, :, w - left :].reshape(n // count, count, h, left, c)
        columns = jnp.pad(columns[:, :-1], ((0, 0), (1, 0), *none))
        sides.append(columns.reshape(n, h, left, c))
    sides.append(strips)
    if right:
        columns = strips[:, :, :right].reshape(n // count, count, h, right, c)
        columns = jnp.pad(columns[:, 1:], ((0, 0), (0, 1), *none))
        sides.append(columns.reshape(n, h, right, c))
    return jnp.concatenate(sides, axis=2)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def convolve_strips(
    count: int, stride: int, x: Float[Array, "n h w i"], kernel: Float[Array, "k k i o"]
) -> Float[Array, "n _h _w o"]:
    """Returns `layers.convolve` of images of which `x` are `count` strips each.

    The stride must divide a strip's columns.
    """
    return _convolve(count, stride, x, kernel)


def _convolve(count: int, stride: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    half = kernel.shape[0] // 2
    # The middle of the last window is `stride` columns before a strip's end.
    x = _beside_neighbors(x, count, left=half, right=half + 1 - stride)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(half, half), (0, 0)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _forward(count: int, stride: int, x: jax.Array, kernel: jax.Array):
    return convolve_strips(count, stride, x, kernel), (x, kernel)


def _backward(
    count: int, stride: int, known: tuple[jax.Array, jax.Array], gradient: jax.Array
):
    """Returns both gradients; without a stride the pixels' is a convolution of strips.

    The transposed convolution would add up what overlaps of wider strips.
    """
    x, kernel = known
    if stride > 1:
        return jax.vjp(partial(_convolve, count, stride), x, kernel)[1](gradient)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    _, pull = jax.vjp(partial(_convolve, count, stride, x), kernel)
    return convolve_strips(count, stride, gradient, turned), *pull(gradient)


convolve_strips.defvjp(_forward, _backward)
