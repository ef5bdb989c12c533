import pytest

from fpn_jax.data.formats.corners import (
    check_inside,
    corners_in,
    number_in,
    whole_size,
    xywh_of,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [("64.0", 64), (" 5 ", 5), ("1e2", 100), (".5", 0.5), ("-3", -3), ("7.", 7)],
)
def test_numbers_of_files(text, number):
    assert number_in(text) == number


@pytest.mark.parametrize("text", [None, "", "nan", "inf", "1e999", "1_0", "x", "1,5"])
def test_texts_that_are_no_finite_numbers(text):
    assert number_in(text) is None


def test_a_size_is_two_whole_numbers_above_0():
    assert whole_size("40.0", " 60 ") == (40, 60)
    for height in ("0", "-1", "40.5", "9" * 20, "tall", None):
        assert whole_size(height, "60") is None


def test_corners_by_hand():
    cells = {"xmin": "1", "ymin": "11", "xmax": "60", "ymax": "25"}
    assert corners_in(cells) == (1, 11, 60, 25)
    # Pixels 1 … 60 and 11 … 25 are what is between 0 and 60, 10 and 25.
    assert corners_in(cells, from_one=True) == (0, 10, 60, 25)
    assert xywh_of((0, 10, 60, 25)) == [0, 10, 60, 15]


def test_wrong_corners_are_told_by_the_names_of_the_file():
    with pytest.raises(ValueError, match="^left is x, must be a finite number$"):
        corners_in({"left": "x", "top": "1", "right": "2", "bottom": "3"})
    with pytest.raises(ValueError, match="^top is 4 and bottom 3, must be the smaller"):
        corners_in({"left": "1", "top": "4", "right": "2", "bottom": "3"})
    # One pixel has no area when it is counted from 0.
    pixel = {"left": "5", "top": "5", "right": "5", "bottom": "5"}
    assert corners_in(pixel) == (5, 5, 5, 5)
    assert corners_in(pixel, from_one=True) == (4, 4, 5, 5)


def test_a_box_outside_of_its_image_is_told_in_its_own_numbers():
    cells = {"x1": "61", "y1": "1", "x2": "70", "y2": "5"}
    with pytest.raises(ValueError, match=r"outside of 60 x 40 pixels: x1 61, y1 1"):
        check_inside((61, 1, 70, 5), cells, (40, 60))
    check_inside((59, 1, 70, 5), cells, (40, 60))
