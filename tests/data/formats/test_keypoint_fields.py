"""Notes on points that a flip leaves where they are."""

import pytest

from fpn_jax.data.formats.keypoint_fields import flip_notes, keypoint_spec


def notes(*names):
    return flip_notes(keypoint_spec("file", [{"name": "cat", "keypoints": [*names]}]))


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
