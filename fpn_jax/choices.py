"""The one way a value that is not among the allowed ones is refused."""

import numbers
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any


def check_choice(name: str, value: object, allowed: Collection) -> None:
    """Raises ValueError if `value` is not one of `allowed`.

    The message names the argument, what came, what is allowed, and the nearest of it:
    by spelling for strings, by distance for numbers.

    >>> check_choice("depth", 51, (18, 34, 50, 101, 152))
    ValueError: depth must be one of 18, 34, 50, 101, 152, got 51 (nearest: 50)
    """
    if value in allowed:
        return
    if isinstance(value, str):
        names = [choice for choice in allowed if isinstance(choice, str)]
        nearest = get_close_matches(value, names, n=1)
    elif isinstance(value, int):
        nearest = sorted(allowed, key=lambda choice: abs(choice - value))[:1]
    else:
        nearest = []
    listed = ", ".join(map(repr, allowed))
    hint = f" (nearest: {nearest[0]!r})" if nearest else ""
    raise ValueError(f"{name} must be one of {listed}, got {value!r}{hint}")


def check_fraction(name: str, value: Any) -> None:
    """Raises ValueError if `value` is not a number in 0 … 1.

    >>> check_fraction("score_threshold", 50)
    ValueError: score_threshold: 50 given, must be 0 … 1
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}: {value!r} given, must be 0 … 1")


def check_count(name: str, value: Any) -> None:
    """Raises ValueError if `value` is not a whole number of at least 1.

    >>> check_count("batch_size", 0)
    ValueError: batch_size: 0 given, must be a whole number >= 1
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name}: {value!r} given, must be a whole number >= 1")
