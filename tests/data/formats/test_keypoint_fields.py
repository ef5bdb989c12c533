"""Notes on points that a flip leaves where they are."""

import pytest

from fpn_jax.data.formats.keypoint_fields import flip_notes, keypoint_spec


def notes(*names, **fields):
    categories = [{"name": "cat", "keypoints": [*names], **fields}]
    return flip_notes(keypoint_spec("file", categories), categories)


@pytest.mark.parametrize("names", [("nose",), ("left_eye", "right_eye", "nose")])
def test_there_is_nothing_to_say_of_pairs_and_single_points(names):
    assert notes(*names) == []


def test_a_side_alone_is_said_once():
    (note,) = notes("left_eye", "right_eye", "left_ear", "r_paw")
    assert note.note and "no other side of 'left_ear'" in note.reason
    assert "nor of 1 more" in note.reason


def test_points_of_which_no_two_are_a_pair_are_said_once():
    (note,) = notes("p1", "p2", "p3")
    assert note.note and "no two of 3 points are a pair" in note.reason


def test_a_mirror_that_is_given_is_taken_and_nothing_is_said():
    category = {"name": "cat", "keypoints": ["a", "b", "c"], "flip_indices": [1, 0, 2]}
    assert keypoint_spec("file", [category]).flip == (1, 0, 2)
    assert notes("a", "b", flip_indices=[0, 1]) == []


@pytest.mark.parametrize("given", [[1, 2, 0], [0, 1], [0, 1, 3], "012", [0, 1, "2"], 7])
def test_a_mirror_must_lead_back(given):
    category = {"name": "cat", "keypoints": ["a", "b", "c"], "flip_indices": given}
    with pytest.raises(ValueError, match="^file: flip_indices .* must .*lead back$"):
        keypoint_spec("file", [category])
