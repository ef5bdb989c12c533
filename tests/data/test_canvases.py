"""Canvases for the sizes of images."""

import numpy as np

from fpn_jax.data.canvases import best_canvas, shrinking_line


def test_wide_photographs_get_a_wide_canvas_of_as_many_pixels():
    height, width = best_canvas(np.array([[1080, 1920]] * 3), 320 * 320)
    assert (height, width) == (224, 448)
    assert height * width <= 320 * 320


def test_a_canvas_that_shrinks_most_images_names_one_of_twice_the_sides():
    # 320 / 1920 is a sixth.
    sizes = np.array([[1080, 1920], [1080, 1920], [240, 320]])
    assert shrinking_line(sizes, (320, 320)) == (
        "data.canvas 320 320 shows the images at 17% of their size; --data.canvas 640 "
        "640 shows 33%, with four times the work"
    )
    assert shrinking_line(sizes[2:], (160, 160)) is None
