"""What a refused value is told."""

import pytest

from fpn_jax.choices import check_choice


@pytest.mark.parametrize(
    "value, nearest",
    [(51, " (nearest: 50)"), (7, " (nearest: 18)"), ("50", ""), (None, "")],
)
def test_numbers_are_answered_with_the_nearest_by_distance(value, nearest):
    with pytest.raises(ValueError) as error:
        check_choice("depth", value, (18, 50, 101))
    assert str(error.value) == (
        f"depth must be one of 18, 50, 101, got {value!r}{nearest}"
    )


def test_names_are_answered_with_the_nearest_by_spelling():
    with pytest.raises(ValueError, match=r"got 'frzen' \(nearest: 'frozen'\)$"):
        check_choice("norm", "frzen", (None, "frozen", "batch"))


def test_allowed_values_pass():
    check_choice("norm", None, (None, "frozen"))
    check_choice("depth", 18, {18: "a", 50: "b"})
