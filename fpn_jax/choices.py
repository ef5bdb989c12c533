"""The one way a value outside a closed set is refused."""

from collections.abc import Collection
from difflib import get_close_matches


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
