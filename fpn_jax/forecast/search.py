"""The largest batch that fits, in few compilations."""

from collections.abc import Callable
from typing import NamedTuple

# Numbers below `_FEW` are searched exactly, larger ones to one part in `_SHARE`.
_FEW, _SHARE = 32, 16
_MARGIN = 0.75  # of the number that a single trial predicts


class Trial(NamedTuple):
    """Whether a program of so many images fits, and bytes where they are known."""

    fits: bool
    needed: float | None  # bytes
    available: float | None = None  # bytes, if a compiler that refuses says so


def largest_that_fits(
    try_number: Callable[[int], Trial], first: int, limit: float
) -> int:
    """Returns the largest number that fits, 0 if 1 does not.

    From 32 on the number fits, and one that is larger by more than a sixteenth does
    not, or would not by a line through trials that all fit. The line keeps the search
    from batches that fit only because the compiler recomputes values near its limit.

    Each trial is a compilation, so the next number is the one where a line through the
    trials meets the limit. Between one that fits and one that does not the middle is
    tried instead if the line meets it nowhere there, or has just won little: no more
    than a step towards larger numbers, or less than half of what was left towards
    smaller ones.

    Args:
        limit: bytes, until a compiler that refuses says how many there are.
    """
    known: dict[int, float] = {}
    low, high, step, number = 0, None, 1, first
    while True:
        fits, needed, available = try_number(number)
        limit = available or limit
        crept = number <= low + step
        if not fits:
            crept = high is not None and 2 * (number - low) > high - low
        low, high = (number, high) if fits else (low, number)
        if needed is not None:
            known[number] = needed
        guess, step = _guess(known, low, limit), max(1, low // _SHARE)
        if high is None:
            full = guess is not None and guess <= low + step
            if full and low >= _FEW and len(known) > 1:
                return low
            number = 2 * low if full or guess is None else guess
        elif high - low <= step:
            return low
        elif crept or guess is None or guess >= high:
            number = (low + high) // 2
        else:
            number = min(max(guess, low + step), high - 1)


def _guess(known: dict[int, float], low: int, limit: float) -> int | None:
    """Returns where a line through two trials meets the limit, None if it does not.

    The trials are the largest that fits and the smallest that does not. If all fit, or
    none does, they are the smallest and the largest. A single trial gives a line
    through zero, and a margin is left.
    """
    numbers = sorted(known)
    if not numbers:
        return None
    if len(numbers) == 1:
        return int(_MARGIN * numbers[0] * limit / known[numbers[0]])
    below = [number for number in numbers if number <= low]
    above = [number for number in numbers if number > low]
    first, last = numbers[0], numbers[-1]
    if below and above:
        first, last = below[-1], above[0]
    least, most = known[first], known[last]
    if most <= least:
        return None
    return first + int((limit - least) * (last - first) / (most - least))
