"""The canvas that a data set's images fill, and the size at which it shows them."""

from typing import Literal

import numpy as np

BoxScale = Literal["sides", "common"]
"""The scaling of boxes with an image whose sides are rounded down to whole pixels.

By the ratio of the sides before and after, each axis by its own, as in torchvision; or
both axes by the scale before the rounding, as in YOLOX. They differ by up to a pixel.
"""

_SMALL = 0.5  # of its sides an image is shown at; below, small objects may be lost


def best_canvas(sizes: np.ndarray, pixels: int) -> tuple[int, int]:
    """The canvas of at most so many pixels that images of `sizes [N, 2]` fill most.

    Its sides are multiples of 32, as a pyramid's must be.
    """
    heights = range(32, pixels // 32 + 1, 32)
    canvases = [(height, pixels // height // 32 * 32) for height in heights]
    return max(
        (canvas for canvas in canvases if canvas[1]),
        key=lambda canvas: filled(sizes, canvas) * canvas[0] * canvas[1],
    )


def filled(sizes: np.ndarray, canvas: tuple[int, int]) -> float:
    """The mean share of the canvas that fitted images cover."""
    return float((_scales(sizes, canvas) ** 2 * sizes.prod(axis=1)).mean()) / np.prod(
        canvas
    )


def shrinking_line(sizes: np.ndarray, canvas: tuple[int, int]) -> str | None:
    """Says that a canvas shows most images far smaller than they are, and a larger one.

    None where it does not, or the sizes are not known (0 or 1).
    """
    scale = float(np.median(_scales(sizes, canvas)))
    if scale >= _SMALL:
        return None
    larger = " ".join(str(2 * side) for side in canvas)
    return (
        f"data.canvas {canvas[0]} {canvas[1]} shows the images at {scale:.0%} of their "
        f"size; --data.canvas {larger} shows {2 * scale:.0%}, with four times the work"
    )


def _scales(sizes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    return np.min(np.divide(canvas, sizes), axis=1)
