"""A convolution and a pooling, both of stride 2, four pixels at a time, for a TPU.

The stem of a ResNet reads three channels and writes 64, and a TPU works on 128 at once;
its pooling reads every other pixel. Here squares of 4x4 pixels of an image are 48
channels, and each gives the four pixels between both strides, a quad, as four times 64
channels. A window of the pooling is then a quad and the edges of three others. Compiled
for a v5e chip, 800x1344 pixels in bfloat16: 2.2 ms in place of 5.3 (2 images), 3.9 in
place of 10.1 (4), 7.9 in place of 26 (8).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpn_jax.ops.meshes import is_for_tpu
from fpn_jax.ops.pooling import first_maximum


def is_for_quads(images: Float[Array, "b h w c"], *, strips: int) -> bool:
    """Whether a program is for a TPU, and squares of 4x4 divide its strips."""
    _, height, width, _ = images.shape
    known = isinstance(height, int) and isinstance(width, int)
    fits = known and height % 4 == 0 and width % (4 * strips) == 0
    return fits and is_for_tpu(images)


def convolve_quads(
    images: Float[Array, "b h w i"],
    kernel: Float[Array, "7 7 i o"],
    *,
    stride: int,
    strips: int,
) -> Float[Array, "n _h _w _o"]:
    """Returns a convolution of 7x7 and stride 2, in quads of strips of the images.

    Before the first row and column of quads is another one, for `pool_quads`: of the
    neighbor, or outside the image. The features of a quad's pixels are side by side,
    upper left, upper right, lower left, lower right.
    """
    assert stride == 2 and kernel.shape[:2] == (7, 7)
    squares = _squares(_with_neighbors(images, strips))
    # Without a barrier the convolution's layout would reach back to three channels.
    squares = jax.lax.optimization_barrier(squares)
    return jax.lax.conv_general_dilated(
        squares,
        _kernel_of_quads(kernel),
        window_strides=(1, 1),
        padding=[(2, 1), (0, 0)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def pool_quads(
    x: Float[Array, "n _h _w _c"], *, strips: int
) -> Float[Array, "n h w c"]:
    """Returns the maximum of windows of 3x3 and stride 2, of no negative features.

    `x` is what `convolve_quads` gives. The gradient goes to the first maximum in row
    order, as in `max_pool`.
    """
    n, h, w, c = x.shape
    x = x.reshape(n // strips, strips, h, w, c)
    inside = (_numbers(x, 2) > 0) & ((_numbers(x, 1) > 0) | (_numbers(x, 3) > 0))
    x = jnp.where(inside, x, 0).reshape(n, h, w, c)

    def pixel(row: int, column: int) -> jax.Array:
        """Returns a pixel of each window; 0 is in the quad above, or on the left."""
        lower, right = row != 1, column != 1
        first = (2 * lower + right) * (c // 4)
        y = x[:, min(row, 1) : h - 1 + min(row, 1), :, first : first + c // 4]
        return y[:, :, min(column, 1) : w - 1 + min(column, 1)]

    return first_maximum(pixel(row, column) for row in range(3) for column in range(3))


def _with_neighbors(images: jax.Array, strips: int) -> jax.Array:
    """Returns strips with the columns of two squares before and of one behind them.

    Pixels are moved less than squares of them are, where they are padded and cut.
    """
    b, h, w, c = images.shape
    columns = w // strips
    x = jnp.pad(images, ((0, 0), (0, 0), (8, 4), (0, 0)))
    each = [x[:, :, i * columns : (i + 1) * columns + 12] for i in range(strips)]
    return jnp.stack(each, axis=1).reshape(b * strips, h, columns + 12, c)


def _squares(x: jax.Array) -> jax.Array:
    """Returns squares of 4x4 pixels; column by column their channels side by side."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // 4, 4, w, c)
    x = jnp.concatenate([x[:, :, i] for i in range(4)], axis=-1)
    x = x.reshape(b, h // 4, w // 4, 4, 4 * c)
    return jnp.concatenate([x[:, :, :, i] for i in range(4)], axis=-1)


def _kernel_of_quads(kernel: jax.Array) -> jax.Array:
    """Returns [3, 3, 16 i, 4 o] of 7x7: three squares on each side give a quad."""
    *_, inputs, outputs = kernel.shape
    for axis in (0, 1):
        # The window of a quad's second pixel begins two pixels after the first one's,
        # which begins three pixels before the quad, or one after the square before.
        sides = [[(0, 0)] * kernel.ndim for _ in range(2)]
        for number, side in enumerate(sides):
            side[axis] = (1 + 2 * number, 4 - 2 * number)
        kernel = jnp.stack([jnp.pad(kernel, side) for side in sides], axis=-2)
    kernel = kernel.reshape(3, 4, 3, 4, inputs, 4 * outputs)
    kernel = kernel.transpose(0, 2, 3, 1, 4, 5)
    return kernel.reshape(3, 3, 16 * inputs, 4 * outputs)


def _numbers(x: jax.Array, axis: int) -> jax.Array:
    """Returns 0, 1, 2 … along an axis, of the rank of an array."""
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return jax.lax.broadcasted_iota(jnp.int32, shape, axis)
