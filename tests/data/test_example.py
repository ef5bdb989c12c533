import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from fpn_jax.data.example import Example


def _example(**changes):
    fields = {
        "image_id": 7,
        "name": "seven.jpg",
        "image": np.zeros((20, 30, 3), np.uint8),
        "boxes": np.array([[1, 2, 11, 12], [0, 0, 5, 5]], np.float32),
        "labels": np.array([3, 0], np.int32),
        "crowd": np.array([False, True]),
        "areas": np.array([100, 25], np.float32),
    }
    return Example(**fields | changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", np.zeros((20, 30, 3), np.float32)),
        ("image", np.zeros((20, 30), np.uint8)),
        ("boxes", np.zeros((2, 4), np.float64)),
        ("boxes", np.zeros((2, 5), np.float32)),
        ("labels", np.zeros(2, np.int64)),
        ("labels", np.array([0, -1], np.int32)),
        ("crowd", np.zeros(3, np.bool_)),
        ("areas", np.zeros((2, 1), np.float32)),
    ],
)
def test_a_wrong_array_is_an_error_that_names_field_and_file(field, value):
    with pytest.raises(ValueError, match=rf"^{field} of seven\.jpg: [^\n]*must be"):
        _example(**{field: value})


@pytest.mark.parametrize(
    "box", [[5, 0, 4, 9], [0, 9, 5, 8], [0, 0, np.nan, 5], [0, 0, np.inf, 5]]
)
def test_a_box_that_is_none_is_an_error_that_shows_it(box):
    boxes = np.array([[0, 0, 5, 5], box], np.float32)
    with pytest.raises(ValueError, match=r"^boxes of seven\.jpg: row 1 is \["):
        _example(boxes=boxes)


def test_a_box_without_area_and_an_image_without_boxes_are_examples():
    _example(boxes=np.array([[1, 1, 1, 5], [2, 2, 2, 2]], np.float32))
    assert len(_example().select(np.zeros(2, np.bool_)).boxes) == 0


def test_select_takes_the_same_rows_of_every_array():
    second = _example().select(np.array([1]))
    rows = [getattr(second, f).tolist() for f in ("boxes", "labels", "crowd", "areas")]
    assert rows == [[[0, 0, 5, 5]], [0], [True], [25]]
    assert dataclasses.replace(second, name="other.jpg").image_id == 7


@pytest.mark.parametrize(
    "module", ["coco", "digits", "example", "image", "loader", "tfds", "transforms"]
)
def test_data_modules_import_without_jax(module):
    code = f"import sys; sys.modules['jax'] = None; import fpn_jax.data.{module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
