"""Defects of pixels and of photographs; test_doctor plants all kinds."""

import numpy as np
import pytest

from fpn_jax.data.example import Turn
from fpn_jax.examination.example_defects import example_defects
from tests.support.painted_example import painted_example


def pixels(*levels):
    """An image that has these levels, the last one twice."""
    image = np.array([*levels, levels[-1]], np.uint8).reshape(1, -1, 1)
    return image.repeat(3, axis=2)


def found_in(image, **changes):
    return example_defects(painted_example([], image=image, masks=None, **changes))


@pytest.mark.parametrize("brightest", [3, 15, 63])  # 10, 12 and 14 bits in a file of 16
def test_an_image_that_uses_the_lowest_levels_alone_is_dark(brightest):
    (defect,) = found_in(pixels(0, 1, brightest))
    assert (defect.kind, defect.place, defect.file) == ("dark", "image", "painted")
    assert f"its largest value is {brightest} of 255" in defect.reason


def test_other_images_are_not_dark_and_a_black_one_has_one_defect():
    assert found_in(pixels(0, 1, 64)) == []
    assert [defect.kind for defect in found_in(pixels(0, 0))] == ["one color"]


def test_a_turn_that_no_size_decides_is_named_with_its_orientation():
    (defect,) = found_in(pixels(0, 200), turn=Turn(6, applied=False, sure=False))
    assert defect.kind == "EXIF turn in doubt" and "orientation 6" in defect.reason


@pytest.mark.parametrize("turn", [Turn(), Turn(6, applied=True), Turn(3)])
def test_a_turn_that_is_sure_is_no_defect(turn):
    assert found_in(pixels(0, 200), turn=turn) == []
