"""Finds the end of the stroke of a written character."""

import numpy as np


def stroke_ends(ink: np.ndarray) -> np.ndarray:
    """Returns the two pixels (x, y) between which the way through the ink is longest.

    The way goes from pixel to pixel, also diagonally. A closed loop ends where it is
    widest. [2, 2] int; of several pairs the first in the order of the rows.

    Args:
        ink: [H, W] bool, with at least one True.
    """
    pixels = np.argwhere(ink)[:, ::-1]
    steps = np.linalg.norm(pixels[:, None] - pixels, axis=-1)
    ways = np.where(steps < 1.5, steps, np.inf)  # a diagonal step is 1.41
    for middle in range(len(pixels)):  # Floyd and Warshall
        ways = np.minimum(ways, ways[:, middle, None] + ways[middle])
    ways[np.isinf(ways)] = -1  # between separate parts
    return pixels[list(np.unravel_index(ways.argmax(), ways.shape))]
