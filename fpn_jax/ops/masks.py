"""The targets of a mask head: ground-truth masks cut out and resized for each box.

Boxes and regions are xyxy pixels of the canvas.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

# Bitmap pixels, as float32, that are in memory at a time.
_CHUNK_PIXELS = 2**22


def mask_targets(
    masks: Real[Array, "g h w"],
    boxes: Float[Array, "n 4"],
    index: Int[Array, " n"],
    *,
    size: int,
    regions: Float[Array, "g 4"] | None = None,
) -> Float[Array, "n {size} {size}"]:
    """Returns how much of each cell of a box its object covers: 0 … 1, no threshold.

    RoIAlign of the bitmap `masks[index]`, as torchvision's `project_masks_on_boxes`:
    `aligned=False`, and as many samples along a side of a cell as it has pixels,
    rounded up. Samples up to one pixel outside of the bitmap have the value at its
    border, those farther away are 0.

    A bitmap shows its row of `regions`, without them the whole canvas pixel by pixel. A
    region is sampled where the pixels of the canvas would be, whatever its resolution:
    at the pixel (y + 1/2 - region's top) / (its height) * h - 1/2 of the bitmap.

    The samples of a box are a grid, so that their weights are a product: the cells are
    Wy @ bitmap @ Wx.T with Wy [size, h] and Wx [size, w].
    """
    height, width = masks.shape[1:]
    if regions is None:
        canvas = jnp.array([0, 0, width, height], jnp.float32)
        regions = jnp.broadcast_to(canvas, (len(masks), 4))

    def cut(box_and_row):
        box, row = box_and_row
        region = regions[row]
        rows = _cell_weights(box[1::2], region[1::2], size=size, length=height)
        columns = _cell_weights(box[::2], region[::2], size=size, length=width)
        bitmap = masks[row].astype(jnp.float32)
        return jnp.einsum("ph,hw,qw->pq", rows, bitmap, columns, precision="highest")

    at_a_time = max(1, _CHUNK_PIXELS // (height * width))
    return jax.lax.map(
        cut, (boxes.astype(jnp.float32), index), batch_size=min(at_a_time, len(boxes))
    )


def _cell_weights(
    ends: Float[Array, " 2"], region_ends: Float[Array, " 2"], *, size: int, length: int
) -> Float[Array, "{size} {length}"]:
    """Returns each pixel's part in the mean of each cell's samples, along one axis.

    A sample at t in j … j + 1 is (j + 1 - t) of pixel j and (t - j) of pixel j + 1. The
    samples of a cell are evenly spaced: how many there are between two pixels, and the
    sum of their t - j, follow from the number of the first one.
    """
    low, high = ends
    region_low, region_high = region_ends
    region_side = region_high - region_low
    scale = length / jnp.where(region_side > 0, region_side, 1)
    side = jnp.maximum(high - low, 1)  # as RoIAlign without `aligned`
    # The condition always holds. By a constant XLA would not divide, but multiply with
    # its rounded reciprocal: ceil(84 / 28) would be 4.
    cell_side = side / jnp.where(side >= 1, jnp.float32(size), 1)
    count = jnp.ceil(cell_side)
    # The maximum changes nothing: it keeps compilers from adding to the unrounded
    # product, which torchvision rounds.
    cells = low + jnp.maximum(jnp.arange(size, dtype=jnp.float32) * cell_side, 0)

    def place(sample):  # of each cell, in pixels of the canvas
        return cells + (sample + 0.5) * cell_side / count

    first = (place(jnp.zeros_like(cells)) + 0.5 - region_low) * scale - 0.5
    step = cell_side / count * scale

    pixels = jnp.arange(-1, length + 1, dtype=jnp.float32)
    distance = pixels[None] - first[:, None]  # [size, length + 2]
    before = jnp.clip(jnp.ceil(distance / step), 0, count)  # samples before the pixel
    # From one pixel outside of the bitmap on, samples are 0: there alone it matters on
    # which side they fall, and a sample on the border itself is inside.
    lowest = region_low - 0.5 / scale - 0.5
    highest = region_low + (length + 0.5) / scale - 0.5
    outside = _corrected(before[:, 0], count, lambda k: place(k) < lowest)
    inside = _corrected(before[:, -1], count, lambda k: place(k) <= highest)
    before = before.at[:, 0].set(outside).at[:, -1].set(inside)
    number = before[:, 1:] - before[:, :-1]
    middle = (before[:, 1:] + before[:, :-1] - 1) / 2
    to_next = number * (step * middle - distance[:, :-1])
    to_next = to_next.at[:, 0].set(number[:, 0])  # outside, next to pixel 0
    to_next = to_next.at[:, -1].set(0)  # outside, next to the last pixel
    return ((number - to_next)[:, 1:] + to_next[:, :-1]) / count


def _corrected(number: Array, count: Array, belongs: Callable) -> Array:
    """Returns how many of the samples 0 … count - 1 belong, which are the first ones.

    `number` is that to one sample, as rounding leaves it.
    """
    too_many = (number > 0) & ~belongs(number - 1)
    too_few = (number < count) & belongs(number)
    return jnp.where(too_many, number - 1, jnp.where(too_few, number + 1, number))
