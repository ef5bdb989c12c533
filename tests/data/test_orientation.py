"""Which picture of a photograph was annotated, and how rows become upright."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from fpn_jax.data.example import Turn
from fpn_jax.data.orientation import (
    ORIENTATIONS,
    choose_turn,
    turned_back,
    turned_size,
    turned_upright,
)

# Two rows of three pixels, all different.
STORED = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
A, B, C, D, E, F = STORED.reshape(6, 3)
UPRIGHT = {
    1: [[A, B, C], [D, E, F]],
    2: [[C, B, A], [F, E, D]],
    3: [[F, E, D], [C, B, A]],
    4: [[D, E, F], [A, B, C]],
    5: [[A, D], [B, E], [C, F]],
    6: [[D, A], [E, B], [F, C]],
    7: [[F, C], [E, B], [D, A]],
    8: [[C, F], [B, E], [A, D]],
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_by_hand_and_as_pillow_turns_it(orientation):
    found = turned_upright(STORED, orientation)
    np.testing.assert_array_equal(found, UPRIGHT[orientation])
    assert found.shape[:2] == turned_size((2, 3), orientation)
    picture = Image.fromarray(STORED)
    picture.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(found, ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(turned_back(found, orientation), STORED)


def test_there_are_eight_orientations():
    assert ORIENTATIONS == tuple(UPRIGHT) == (1, 2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(
    ("stored", "orientation", "stated", "turn"),
    [
        # The size says it: 48 rows of 64 are stored, 64 rows of 48 are upright.
        ((48, 64), 6, (48, 64), Turn(6, applied=False, sure=True)),
        ((48, 64), 6, (64, 48), Turn(6, applied=True, sure=True)),
        ((48, 64), 8, (64.0, 48.0), Turn(8, applied=True, sure=True)),
        # Both fit.
        ((48, 48), 6, (48, 48), Turn(6, applied=False, sure=False)),
        ((48, 64), 3, (48, 64), Turn(3, applied=False, sure=False)),
        ((48, 64), 2, (48, 64), Turn(2, applied=False, sure=False)),
        ((48, 64), 6, None, Turn(6, applied=False, sure=False)),
        # No turn is asked for.
        ((48, 64), 1, (48, 64), Turn(1, applied=False, sure=True)),
        ((48, 64), 1, None, Turn(1, applied=False, sure=True)),
        # Neither fits.
        ((48, 64), 1, (64, 48), None),
        ((48, 64), 6, (48, 65), None),
    ],
)
def test_the_stated_size_says_which_picture_was_annotated(
    stored, orientation, stated, turn
):
    assert choose_turn(stored, orientation, stated=stated, upright=None) == turn


def test_a_form_whose_labels_are_upright_needs_no_size():
    for size in (None, (64, 48)):
        turn = choose_turn((48, 64), 6, stated=size, upright=True)
        assert turn == Turn(6, applied=True, sure=True)
    square = choose_turn((48, 48), 3, stated=(48, 48), upright=True)
    assert square == Turn(3, applied=True, sure=True)
    assert choose_turn((48, 64), 6, stated=(48, 64), upright=True) is None


def test_without_anything_that_says_it_the_stored_rows_are_taken_and_in_doubt():
    turn = choose_turn((48, 64), 6, stated=(48, 64), upright=False)
    assert turn == Turn(6, applied=False, sure=False)
    assert choose_turn((48, 64), 1, stated=None, upright=False) == Turn()
