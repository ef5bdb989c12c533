"""Canvases and images whose areas a reader can multiply."""

import numpy as np
import pytest

from fpn_jax.examination.canvas import best_canvas, boxes_on_canvas, filled
from fpn_jax.examination.examine import examine
from tests.support.gray_source import GraySource


def test_an_image_of_the_canvas_shape_fills_it():
    assert filled(np.array([[40, 80]]), (320, 640)) == pytest.approx(1)


def test_the_share_is_the_mean_over_the_images():
    # A square fills half of a canvas twice as wide, an upright 1 : 2 a quarter.
    sizes = np.array([[100, 100], [200, 100]])
    assert filled(sizes, (320, 640)) == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_the_best_canvas_has_the_shape_of_the_images_and_sides_of_whole_cells():
    assert best_canvas(np.array([[100, 200]]), 256 * 512) == (256, 512)
    # 5 more rows of pixels than 256 x 512 are no whole cell.
    assert best_canvas(np.array([[100, 200]]), 261 * 512) == (256, 512)


def test_boxes_are_scaled_with_their_image():
    # 40 px become 80, and the object at 5 … 25 one at 10 … 50.
    (boxes,) = boxes_on_canvas(examine(GraySource(1)), (80, 96))
    assert boxes.tolist() == [[10, 10, 50, 50]]
