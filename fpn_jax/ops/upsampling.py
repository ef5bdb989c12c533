"""Nearest-neighbor upsampling, as torch rounds it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fpn_jax.ops.onnx_operators import onnx_double
from fpn_jax.ops.platforms import by_platform


def upsample2x(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Returns every pixel four times, as `jax.image.resize(…, "nearest")` does."""
    return by_platform(doubled_at_once, x, tpu=doubled_by_windows, onnx=onnx_double)


def doubled_at_once(x: jax.Array) -> jax.Array:
    """Returns the same by a broadcast of rows and columns: for a CPU or a GPU.

    On a CPU the gradient is 3.5 times faster than the gradient of `resize`.
    """
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    # Rows first, then columns: both at once, JAX does not know how the result lies on
    # a mesh whose axes are explicit.
    return x.reshape(b, 2 * h, w, 2, c).reshape(b, 2 * h, 2 * w, c)


@jax.custom_vjp
def doubled_by_windows(x: jax.Array) -> jax.Array:
    """Returns the same as sums of windows, each of one pixel and zeros: for a TPU.

    Nothing else changes places in memory there. A merge of 200x336 pixels with 256
    channels and the convolution behind it take half of the time that they take with
    broadcasts, with gradients (2 images, compiled for a v5e chip).
    """
    zero = jnp.zeros((), x.dtype)
    apart = jax.lax.pad(x, zero, ((0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 0, 0)))
    before = ((0, 0), (1, 0), (1, 0), (0, 0))
    return jax.lax.reduce_window(
        apart, zero, jax.lax.add, (1, 2, 2, 1), (1, 1, 1, 1), before
    )


def _doubled_forward(x: jax.Array):
    return doubled_by_windows(x), None


def _doubled_backward(_, gradient):
    zero = jnp.zeros((), gradient.dtype)
    window = (1, 2, 2, 1)
    return (
        jax.lax.reduce_window(gradient, zero, jax.lax.add, window, window, "VALID"),
    )


doubled_by_windows.defvjp(_doubled_forward, _doubled_backward)


def upsample_to(
    x: Float[Array, "b h w c"], height: int, width: int
) -> Float[Array, "b {height} {width} c"]:
    """Returns `x` resized by torch's nearest rule: output i shows floor(i * in / out).

    For a factor of exactly 2 this is `upsample2x`, and equals the half-pixel rule of
    `jax.image.resize`; for 13 -> 25 the two differ.
    """
    if (height, width) == (2 * x.shape[1], 2 * x.shape[2]):
        return upsample2x(x)
    rows = _nearest_index(x.shape[1], height)
    columns = _nearest_index(x.shape[2], width)
    return x[:, rows][:, :, columns]


def _nearest_index(size: int, new_size: int) -> np.ndarray:
    """Returns the source of each output pixel; in float32, as torch computes it."""
    scale = np.float32(size) / np.float32(new_size)
    index = np.floor(np.arange(new_size, dtype=np.float32) * scale)
    return np.minimum(index.astype(np.int32), size - 1)
