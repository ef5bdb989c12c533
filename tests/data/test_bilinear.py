"""NumPy's bilinear values beside OpenCV's, and by hand."""

import cv2
import numpy as np
import pytest

from fpn_jax.data.bilinear import resized, resized_by_numpy

SHAPES = [((30, 40), (20, 33)), ((64, 48), (128, 96)), ((64, 48), (32, 24))] + [
    ((17, 9), (40, 41)),
    ((5, 7), (1, 1)),
    ((1, 1), (3, 4)),
]


def test_a_step_is_divided_at_the_centers_of_pixels():
    # Centers 0.5 and 1.5 of the old pixels; new ones at 0.25, 0.75, 1.25 and 1.75.
    row = np.array([[0.0, 100.0]], np.float32)
    np.testing.assert_allclose(resized_by_numpy(row, 1, 4), [[0, 25, 75, 100]])
    levels = np.array([[0, 101]], np.uint8)
    np.testing.assert_array_equal(resized_by_numpy(levels, 1, 4), [[0, 25, 76, 101]])


@pytest.mark.parametrize("shape, size", SHAPES)
def test_values_are_opencvs_to_a_level(shape, size):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted = cv2.resize(image, size[::-1])
    found = resized_by_numpy(image, *size)
    assert found.dtype == np.uint8 and found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 1
    floats = image[..., 0].astype(np.float32)
    np.testing.assert_allclose(
        resized_by_numpy(floats, *size), cv2.resize(floats, size[::-1]), atol=1e-3
    )


def test_opencv_is_taken_where_it_is_there():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resized(image, 20, 33), cv2.resize(image, (33, 20)))
