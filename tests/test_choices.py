"""What a refused value is told."""

import numpy as np
import pytest

from fpn_jax.choices import check_choice, check_count, check_fraction


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


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25)])
def test_fractions_pass(value):
    check_fraction("score_threshold", value)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "0.5", True, None, [0.5]])
def test_what_is_no_fraction_is_refused(value):
    with pytest.raises(ValueError) as error:
        check_fraction("score_threshold", value)
    assert str(error.value) == f"score_threshold: {value!r} given, must be 0 … 1"


@pytest.mark.parametrize("value", [1, 8, np.int64(3)])
def test_counts_pass(value):
    check_count("batch_size", value)


@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, "8", True, None])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match="^batch_size: .* must be a whole number >= 1"):
        check_count("batch_size", value)
