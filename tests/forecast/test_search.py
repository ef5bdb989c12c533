"""The search for the largest batch, with a function in the place of the compiler."""

import pytest

from fpn_jax.forecast.search import Trial, largest_that_fits


def searched(trial, first, limit):
    """Returns the result of the search, and all numbers that it tried."""
    tried = []

    def try_number(number):
        tried.append(number)
        return trial(number)

    found = largest_that_fits(try_number, first, limit)
    assert len(tried) == len(set(tried))
    return found, tried


def is_close(found, largest):
    """Whether a number is the largest, from 32 on within a sixteenth."""
    return found <= largest <= (found if found < 32 else found + found // 16)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("first", [1, 3, 16, 40, 300])
@pytest.mark.parametrize("limit", [5, 100, 1007, 9000])
def test_the_largest_that_fits_is_found_in_few_trials(told, first, limit):
    """Whether or not a compiler that refuses tells how much it would need."""

    def trial(number):
        needed = 90 + 10 * number + number // 7  # nearly a line
        return Trial(needed <= limit, needed if needed <= limit or told else None)

    largest = next((n for n in range(999, 0, -1) if 90 + 10 * n + n // 7 <= limit), 0)
    found, tried = searched(trial, first, limit)
    assert is_close(found, largest)
    assert len(tried) <= (5 if told else 9)


@pytest.mark.parametrize(
    ("least", "each", "largest", "first"), [(90, 10, 500, 4), (1000, 10, 300, 1200)]
)
def test_a_line_that_misses_the_limit_costs_few_trials(least, each, largest, first):
    """Refused long before the line's limit, without a word of what is needed."""

    def trial(number):
        fits = number <= largest
        return Trial(fits, least + each * number if fits else None)

    found, tried = searched(trial, first, 16_000)
    assert is_close(found, largest)
    assert len(tried) <= 9


@pytest.mark.parametrize("first", [4, 24])
def test_a_compiler_that_fills_the_memory_is_not_followed_one_by_one(first):
    """As for Mask R-CNN on a v5e, which from 11 images a chip takes nearly all."""

    def trial(number):
        fits = number <= 15
        needed = min(1450 * number, 15_600 + 10 * number) if fits else 1057 * number
        return Trial(fits, needed, None if fits else 16_910)

    found, tried = searched(trial, first, 16_000)
    assert found == 15
    assert len(tried) <= 9


@pytest.mark.parametrize(("first", "most"), [(64, 6), (4, 8)])
def test_refusals_that_need_little_more_are_not_followed_one_by_one(first, most):
    def trial(number):
        if number <= 11:
            return Trial(True, min(1450 * number, 15_950))
        return Trial(False, 16_950 + 5 * number, 16_910)

    found, tried = searched(trial, first, 16_000)
    assert found == 11
    assert len(tried) <= most


def test_a_kink_at_the_limit_does_not_end_the_search():
    def trial(number):
        needed = (5000 + 100 * number) * (1 if number <= 110 else 1.4)
        return Trial(needed <= 16_000, needed)

    found, tried = searched(trial, 120, 16_000)
    assert is_close(found, 110)
    assert len(tried) <= 7


def test_a_compiler_that_refuses_tells_the_limit():
    """Of 16.91 GB that it uses where the chip is said to have 16."""

    def trial(number):
        needed = 90 + 10 * number
        fits = needed <= 16_910
        return Trial(fits, needed, None if fits else 16_910)

    assert searched(trial, 5000, 16_000) == (1682, [5000, 1265, 1682, 1787])


def test_a_compiler_that_makes_room_at_its_limit_is_not_followed():
    """As for a v5e: by a program's sizes, 1268 images took no more than 1196."""

    def trial(number):
        needed = 90 + 10 * number
        return Trial(number <= 1900, needed if needed <= 16_000 else 15_500)

    found, tried = searched(trial, 4, 16_000)
    assert (found, len(tried)) == (1591, 3)


@pytest.mark.parametrize("refused", [float, lambda number: None])
def test_a_search_without_a_slope_ends(refused):
    def trial(number):
        return Trial(number < 50, 7.0 if number < 50 else refused(number))

    found, _ = searched(trial, 1, 1000)
    assert is_close(found, 49)
