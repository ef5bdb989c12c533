"""The sizes of a data set's images on a canvas."""

import numpy as np

from fpn_jax.data.canvases import best_canvas, filled
from fpn_jax.data.transforms import fit_scale
from fpn_jax.examination.examine import Examination


def boxes_on_canvas(
    examination: Examination, canvas: tuple[int, int]
) -> list[np.ndarray]:
    """The boxes [N, 4] of each image's objects where training puts them.

    Crowd regions are not objects.
    """
    return [
        np.float32(fit_scale(one.size, canvas)) * one.boxes[~one.crowd]
        for one in examination.seen
    ]


def canvas_line(examination: Examination, canvas: tuple[int, int]) -> str:
    """One line: how much of the canvas the images fill, and a canvas they fill more."""
    sizes = np.array([one.size for one in examination.seen])
    best = best_canvas(sizes, canvas[0] * canvas[1])
    line = f"images fill {filled(sizes, canvas):.0%} of the canvas"
    if filled(sizes, best) < filled(sizes, canvas) + 0.01:
        return line
    return f"{line}; {best[0]} x {best[1]} px: {filled(sizes, best):.0%}"
