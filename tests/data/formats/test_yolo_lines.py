import re

import pytest

from fpn_jax.data.formats.yolo_lines import LineForm, object_of_line

BOXES = LineForm(classes=range(2), points=(0, 0))
POINTS = LineForm(classes=range(2), points=(2, 3))
SIZE = (40, 80)


def test_a_box_by_hand():
    thing = object_of_line("1 0.5 0.25 0.5 0.25", SIZE, BOXES)
    # 40 x 10 pixels around 40, 10.
    assert thing == {"category_id": 1, "bbox": [20, 5, 40, 10]}
    assert object_of_line("1.0\t.5  .25 .5 .25", SIZE, BOXES) == thing


def test_a_polygon_by_hand():
    thing = object_of_line("0 0.25 0.5 0.5 0.5 0.5 1", SIZE, BOXES)
    polygon = [20, 20, 40, 20, 40, 40]
    assert thing["segmentation"] == [polygon] and thing["bbox"] == [20, 20, 20, 20]


def test_keypoints_by_hand():
    line = "0 0.5 0.5 1 1 0.25 0.5 2 0 0 0.0"
    thing = object_of_line(line, SIZE, POINTS)
    assert thing["keypoints"] == [20, 20, 2, 0, 0, 0]
    # Without visibility a point that is not there is 0 or negative.
    pairs = LineForm(classes=range(1), points=(3, 2))
    line = "0 0.5 0.5 1 1 0.25 0.5 0 0 -1 0.5"
    assert object_of_line(line, SIZE, pairs)["keypoints"][2::3] == [2, 0, 0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,0.5,0.5,0.25,0.5", "must be numbers between blanks: class, x, y, width"),
        ("cat 0.5 0.5 0.25 0.5", "must be numbers between blanks"),
        ("0 0.5 0.5 0.25 0.5 0.93", "6 numbers, must be 5 numbers: class, x, y, "),
        ("0 0.5 0.5", "3 numbers, must be 5"),
        ("0 0.5 1_0 0.25 0.5", "must be numbers between blanks"),
        ("0 0.5 nan 0.25 0.5", "nan is no finite number"),
        ("0 0.5 1e999 0.25 0.5", "1e999 is no finite number"),
        ("2 0.5 0.5 0.25 0.5", "class 2 is not in names, 0 … 1"),
        ("0.5 0.5 0.5 0.25 0.5", "class 0.5 is not in names"),
        ("0 0.5 0.5 0.25 -0.5", "height -0.5 must be >= 0"),
        ("0 1.5 0.5 0.5 0.5", "outside of the image, must be shares of the image, 0 …"),
        ("0 40 20 10 10", "(these look like pixels)"),
        ("0 40 20 50 20 50 30", "(these look like pixels)"),
    ],
)
def test_a_wrong_line_is_told_in_its_own_words(line, reason):
    with pytest.raises(ValueError, match=f"^'{re.escape(line)}'.*{re.escape(reason)}"):
        object_of_line(line, SIZE, BOXES)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "0 .5 .5 1 1 .2 .2 2",
            "8 numbers, must be 11: class, x, y, width, height and",
        ),
        ("0 .5 .5 1 1 .2 .2 0.9 .1 .1 2", "visibility 0.9 of a keypoint must be 0, 1"),
    ],
)
def test_wrong_keypoints_are_told_in_the_words_of_the_line(line, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        object_of_line(line, SIZE, POINTS)


def test_a_long_line_is_shortened():
    with pytest.raises(ValueError) as error:
        object_of_line("0 x " * 1000, SIZE, BOXES)
    assert len(str(error.value)) < 200
