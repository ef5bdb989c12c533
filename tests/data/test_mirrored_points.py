"""Pairs of keypoints by the names that data sets give them."""

import pytest

from fpn_jax.data.mirrored_points import mirrored_points, one_sided


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("Left-eye", "Right-eye"),
        ("LEFT_EYE", "RIGHT_EYE"),
        ("leftEye", "rightEye"),
        ("LeftEye", "right_eye"),
        ("lefteye", "righteye"),
        ("eye left", "eye right"),
        ("eye(left)", "eye(right)"),
        ("left 3", "right 3"),
        ("left3", "right3"),
        ("left", "right"),
        ("l_shoulder", "r_shoulder"),
        ("L_F_Elbow", "R_F_Elbow"),
        ("paw_L", "paw_R"),
        ("eyeL", "eyeR"),
        ("LEye", "REye"),
        ("lEye", "rEye"),
        ("eye.l", "eye.r"),
        ("L1", "R1"),
        ("L", "R"),
        ("lsho", "rsho"),
        ("Lshoulder", "Rshoulder"),
        ("LF_paw", "RF_paw"),
    ],
)
def test_the_two_sides_of_one_thing_are_a_pair(left, right):
    names = ("nose", left, "tail", right)
    flip = mirrored_points(names)
    assert flip == (0, 3, 2, 1)
    assert one_sided(names, flip) == []


def test_every_side_of_several_things_finds_its_own():
    names = ("L_F_Paw", "R_F_Paw", "L_B_Paw", "R_B_Paw", "l_eye", "r_eye")
    assert mirrored_points(names) == (1, 0, 3, 2, 5, 4)


@pytest.mark.parametrize(
    "names", [("1", "2", "3"), ("nose", "tail"), ("lip", "ear"), ("bright", "dark"), ()]
)
def test_names_without_a_side_stay_where_they_are(names):
    flip = mirrored_points(names)
    assert flip == tuple(range(len(names)))
    assert one_sided(names, flip) == []


def test_a_side_without_its_other_is_told():
    names = ("left_eye", "nose", "R_ear", "leftpaw")
    flip = mirrored_points(names)
    assert flip == (0, 1, 2, 3)
    assert one_sided(names, flip) == ["left_eye", "R_ear", "leftpaw"]


def test_a_mirrors_mirror_is_the_object_whatever_the_names_are():
    # Twice the same name, and a third that could be the other side of both.
    for names in (("left", "left", "right"), ("l", "left", "r", "right", "r")):
        flip = mirrored_points(names)
        assert [flip[other] for other in flip] == list(range(len(names)))
