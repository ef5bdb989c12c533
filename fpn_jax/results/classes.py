"""Names and labels of classes, as people ask for them and read them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches

from fpn_jax.data.example import Category

_LISTED = 10  # names that a message shows


def counted(names: Iterable[str]) -> str:
    """Returns how many there are of each name, as "3 objects (2 cat, 1 dog)"."""
    counts = Counter(names).most_common()
    number = sum(count for _, count in counts)
    listed = ", ".join(f"{count} {name}" for name, count in counts)
    objects = "object" if number == 1 else "objects"
    return f"{number} {objects} ({listed})" if counts else "0 objects"


def class_labels(
    classes: Collection[str | int] | str | int, categories: Sequence[Category]
) -> set[int]:
    """Returns the labels of classes that are given by name or by label.

    A name counts as it is written, then in small and capital letters alike, then as a
    number, and then as several with commas between them. Raises ValueError for one that
    the model does not know, with the nearest.
    """
    given = [classes] if isinstance(classes, str | int) else classes
    names = [category.name for category in categories]
    return set().union(*(_labels(each, names) for each in given))


def _labels(given: str | int, names: Sequence[str]) -> set[int]:
    ways: tuple[Callable[[int, str], bool], ...] = (
        lambda label, name: name == given,
        lambda label, name: name.lower() == str(given).lower(),
        lambda label, name: str(label) == str(given),
    )
    for way in ways:
        if found := {k for k, name in enumerate(names) if way(k, name)}:
            return found
    if not names and str(given).isdecimal():
        return {int(given)}
    if len(parts := [part.strip() for part in str(given).split(",")]) > 1:
        return set().union(*(_labels(part, names) for part in parts))
    nearest = get_close_matches(str(given), names, n=1)
    hint = f"nearest: {nearest[0]!r}; " if nearest else ""
    known = ", ".join(map(repr, names[:_LISTED]))
    more = ", …" if len(names) > _LISTED else ""
    raise ValueError(
        f"classes: {given!r} is none of the model's {len(names)} classes "
        f"({hint}{known or 'they have no names'}{more})"
    )
