"""The maximum of windows of a feature map."""

from collections.abc import Iterable
from functools import partial, reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fpn_jax.ops.platforms import at_lowering, by_platform


def max_pool(
    x: Float[Array, "b h w c"], *, window: int, padding: int
) -> Float[Array, "b _h _w c"]:
    """Returns the maximum of each window, stride 2, padded with -inf as torch does.

    The gradient goes to the first maximum in row order, as in torch.
    """
    shape = {"window": window, "padding": padding}
    return by_platform(
        partial(pool_pairs, **shape),
        x,
        cpu=partial(pool_slices, **shape),
        onnx=partial(_pool_windows, stride=2, **shape),
    )


def _pool_windows(x: jax.Array, *, window: int, stride: int, padding: int) -> jax.Array:
    """Returns the same by JAX's reduction of windows: an operator of ONNX's."""
    sides = (padding, padding)
    return jax.lax.reduce_window(
        x,
        -jnp.inf,
        jax.lax.max,
        (1, window, window, 1),
        (1, stride, stride, 1),
        ((0, 0), sides, sides, (0, 0)),
    )


def pool_slices(x: jax.Array, *, window: int, padding: int) -> jax.Array:
    """Returns the same as a chain of strided slices: for a CPU.

    There the gradient of XLA's window reduction is 5 times slower.
    """
    height, width = _pooled_grid(x, window, padding)
    sides = (padding, padding)
    x = jnp.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=-jnp.inf)
    b, _, _, c = x.shape
    return first_maximum(
        # Not by an index: where the number of images is open, JAX gathers.
        jax.lax.slice(
            x,
            (0, row, column, 0),
            (b, row + 2 * height - 1, column + 2 * width - 1, c),
            (1, 2, 2, 1),
        )
        for row in range(window)
        for column in range(window)
    )


def pool_pairs(x: jax.Array, *, window: int, padding: int) -> jax.Array:
    """Returns the same along columns, then along rows, of pairs of pixels: for a TPU.

    Two neighbors in a row of pixels become one of twice as many channels, so that each
    part is a slice without strides.
    """
    height, width = _pooled_grid(x, window, padding)
    pairs = -(-window // 2) - 1  # that the last window reaches into

    def padded(size: int, extent: int) -> tuple[int, int, int]:
        return padding, 2 * (size + pairs) - extent - padding, 0

    b, h, w, c = x.shape
    sides = ((0, 0, 0), padded(height, h), padded(width, w), (0, 0, 0))
    x = jax.lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), sides)
    # In two steps: JAX does not know how the result of both at once lies on a mesh with
    # explicit axes.
    x = x.reshape(b, x.shape[1], width + pairs, 2, c)
    x = x.reshape(b, x.shape[1], width + pairs, 2 * c)
    x = first_maximum(
        x[:, :, i // 2 : i // 2 + width, i % 2 * c : (i % 2 + 1) * c]
        for i in range(window)
    )
    x = x.reshape(b, height + pairs, 2, width, c)
    return first_maximum(x[:, i // 2 : i // 2 + height, i % 2] for i in range(window))


def max_filter(x: Float[Array, "b h w c"], *, window: int) -> Float[Array, "b h w c"]:
    """Returns the maximum of the window around each pixel, padded with -inf.

    Stride 1, odd window; first over rows, then over columns. Slices, because the
    gradient of XLA's window reduction is slow on a CPU.
    """
    return at_lowering(
        {
            "default": partial(_filter_slices, window=window),
            "onnx": partial(
                _pool_windows, window=window, stride=1, padding=window // 2
            ),
        },
        x,
    )


def _filter_slices(x: jax.Array, *, window: int) -> jax.Array:
    for axis in (1, 2):
        sides = [(0, 0)] * 4
        sides[axis] = (window // 2, window // 2)
        padded = jnp.pad(x, sides, constant_values=-jnp.inf)
        x = first_maximum(
            jax.lax.slice_in_dim(padded, i, i + x.shape[axis], axis=axis)
            for i in range(window)
        )
    return x


def _pooled_grid(x: jax.Array, window: int, padding: int) -> tuple[int, int]:
    """Returns rows and columns of the windows that fit, two pixels apart."""
    height, width = ((n + 2 * padding - window) // 2 + 1 for n in x.shape[1:3])
    return height, width


def first_maximum(parts: Iterable[jax.Array]) -> jax.Array:
    """Returns the maximum of arrays; the gradient goes to the first of equal ones."""
    return reduce(lambda best, part: jnp.where(part > best, part, best), parts)
