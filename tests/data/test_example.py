import dataclasses

import numpy as np
import pytest

from fpn_jax.data.example import Example, KeypointSpec


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
        ("masks", np.zeros((2, 20, 30), np.uint8)),
        ("masks", np.zeros((1, 20, 30), np.bool_)),
        ("masks", np.zeros((2, 30, 20), np.bool_)),
        ("keypoints", np.zeros((2, 5, 3), np.float64)),
        ("keypoints", np.zeros((2, 5, 2), np.float32)),
        ("keypoints", np.zeros((3, 5, 3), np.float32)),
        ("keypoints", np.full((2, 5, 3), 3, np.float32)),
        ("keypoints", np.full((2, 5, 3), np.nan, np.float32)),
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


def test_keypoints_are_as_many_as_the_data_sets():
    spec = KeypointSpec(names=("nose", "tail"), flip=(0, 1))
    _example(keypoints=np.ones((2, 2, 3), np.float32), keypoint_spec=spec)
    with pytest.raises(ValueError, match=r"^keypoints of .* must be .*\[2, 2, 3\]"):
        _example(keypoints=np.ones((2, 5, 3), np.float32), keypoint_spec=spec)


def test_a_keypoint_that_is_none_is_an_error_that_shows_it():
    keypoints = np.ones((2, 5, 3), np.float32)
    keypoints[1, 4] = [3, 4, 7]
    with pytest.raises(ValueError, match=r"row 1, point 4 is \[3.0, 4.0, 7.0\]"):
        _example(keypoints=keypoints)


def test_select_takes_the_same_rows_of_every_array():
    second = _example().select(np.array([1]))
    rows = [getattr(second, f).tolist() for f in ("boxes", "labels", "crowd", "areas")]
    assert rows == [[[0, 0, 5, 5]], [0], [True], [25]]
    assert dataclasses.replace(second, name="other.jpg").image_id == 7
    assert second.masks is None and second.keypoints is None


def test_select_takes_the_same_rows_of_masks_and_keypoints():
    masks = np.arange(2 * 20 * 30).reshape(2, 20, 30) % 7 == 0
    keypoints = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    keypoints[..., 2] = 2
    chosen = _example(masks=masks, keypoints=keypoints).select(np.array([1, 0]))
    np.testing.assert_array_equal(chosen.masks, masks[::-1])
    np.testing.assert_array_equal(chosen.keypoints, keypoints[::-1])
