import numpy as np
import pytest

from fpn_jax.data.batch import to_canvas
from fpn_jax.data.example import KeypointSpec
from tests.painted_example import painted_example

ONE = [[30, 20, 90, 70]]
TWO_POINTS = KeypointSpec(names=("left", "right"), flip=(1, 0))


def test_the_canvas_by_hand():
    row = to_canvas(painted_example([[30, 20, 90, 70], [0, 0, 5, 9]]), (128, 192), 3)
    assert row["images"].shape == (128, 192, 3)
    assert row["images"][20, 30].tolist() == [100] * 3
    assert not row["images"][120:].any() and not row["images"][:, 160:].any()
    assert row["sizes"].tolist() == [120, 160]
    assert row["boxes"].tolist() == [[30, 20, 90, 70], [0, 0, 5, 9], [0] * 4]
    assert row["labels"].tolist() == [0, 1, 0]
    assert row["valid"].tolist() == [True, True, False]
    assert {k: v.dtype.name for k, v in row.items()} == {
        "images": "uint8",
        "sizes": "int32",
        "boxes": "float32",
        "labels": "int32",
        "valid": "bool",
        "crowd": "bool",
        "image_ids": "int64",
    }


def test_of_too_many_boxes_the_largest_are_kept_in_their_order():
    example = painted_example(
        [[0, 0, 9, 9], [0, 0, 2, 2], [0, 0, 30, 30], [0, 0, 20, 20]]
    )
    assert to_canvas(example, (120, 160), 3)["labels"].tolist() == [0, 2, 3]


def test_a_crowd_region_takes_the_place_of_no_object():
    boxes = [[0, 0, 9, 9], [0, 0, 90, 90], [0, 0, 30, 30], [0, 0, 80, 80]]
    example = painted_example(boxes, crowd=np.array([False, True, False, True]))
    row = to_canvas(example, (120, 160), 3)
    assert row["labels"].tolist() == [0, 1, 2]
    assert row["crowd"].tolist() == [False, True, False]
    assert to_canvas(example, (120, 160), 2)["labels"].tolist() == [0, 2]


def test_a_box_without_area_is_left_out():
    example = painted_example([[0, 0, 9, 9]])
    line = painted_example([[0, 0, 9, 9], [4, 4, 4, 80]])
    for key, value in to_canvas(line, (120, 160), 5).items():
        np.testing.assert_array_equal(value, to_canvas(example, (120, 160), 5)[key])


def test_an_image_larger_than_the_canvas_is_an_error():
    with pytest.raises(ValueError, match=r"^canvas: \(120, 159\) .* painted"):
        to_canvas(painted_example(ONE), (120, 159), 3)
