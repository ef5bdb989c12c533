"""The referee: whose turn it is, and how quiet the machine is."""

import time

import pytest

from fpn_jax.benchmarks.timing import (
    OURS,
    Contest,
    Timing,
    busy_share,
    take_turns,
)


def test_contestants_take_turns_and_two_runs_are_not_measured():
    calls = []
    contest = Contest(
        {OURS: lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3
    )

    timings = take_turns(contest)

    assert calls == ["a", "b"] * 5
    assert list(timings) == [OURS, "b"]


def test_median_and_minimum_are_of_the_measured_runs():
    naps = iter([0.5, 0.0, 0.2, 0.1, 0.3])  # two of warm-up, then three

    timing = take_turns(Contest({OURS: lambda: time.sleep(next(naps))}, runs=3))[OURS]

    # Sleeping takes a little longer than asked, more on a loaded machine.
    near = pytest.approx
    assert timing == Timing(near(0.2, abs=0.05), near(0.1, abs=0.05), ratio=1.0)


def test_the_ratio_is_that_within_a_turn():
    # The machine becomes three times slower on the way; the other takes twice our time.
    ours, theirs = iter([0, 0, 0.02, 0.06, 0.06]), iter([0, 0, 0.04, 0.12, 0.12])
    contest = Contest(
        {OURS: lambda: time.sleep(next(ours)), "b": lambda: time.sleep(next(theirs))}, 3
    )

    assert take_turns(contest)["b"].ratio == pytest.approx(2, abs=0.3)


def test_the_busy_share_is_a_share():
    share = busy_share(seconds=0.2)

    assert share is None or 0 <= share <= 1
