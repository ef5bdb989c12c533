"""The names that parts of data sets have."""

from collections.abc import Collection

from fpn_jax.choices import check_choice

_SAME = ("validation", "val", "valid")

SPLITS = ("train", *_SAME, "test")
"""The names that tools give the parts of a data set."""


class NoSuchSplit(ValueError):
    """A data set has no such split; the message says which it has."""


def names_of(split: str) -> tuple[str, ...]:
    """Returns the split and what else it may be called, as validation is `val`."""
    return (split, *_SAME) if split in _SAME else (split,)


def find_split(split: str, there: Collection[str]) -> str:
    """Returns the name of a split in a data set that has the splits `there`.

    Raises NoSuchSplit where it has none of its names.
    """
    if not there:
        raise NoSuchSplit(f"split: {split!r} asked for, where there are none")
    found = next((name for name in names_of(split) if name in there), split)
    try:
        check_choice("split", found, there)
    except ValueError as error:
        raise NoSuchSplit(str(error)) from None
    return found
