"""Splits in the words of TFDS: `train`, `train[:10%]`, `train[:100]+validation`."""

import re
from collections.abc import Mapping

import tensorflow_datasets as tfds

from fpn_jax.data.formats.splits import NoSuchSplit, find_split

_BOUND = r"(-?\d+(\.\d+)?%|-?\d+|-?\d+shard)?"
_PART = re.compile(rf"\s*(?P<name>[^\[\]]*?)\s*(?P<slice>\[{_BOUND}:{_BOUND}\])?\s*")


def found_slices(split: str, there: Mapping[str, tfds.core.SplitInfo]) -> str:
    """Returns a split or slices of splits, with the names that the data set has.

    Raises NoSuchSplit where it has none of these names, the words are no slice, or the
    slice holds no example.
    """
    matches = [_PART.fullmatch(part) for part in split.split("+")]
    if not all(matches):
        raise NoSuchSplit(
            f"split: {split!r} is neither a name nor a slice such as 'train[:10%]', "
            "'train[100:200]' or 'train[:50%]+validation'"
        )
    found = "+".join(
        find_split(match["name"], there) + (match["slice"] or "").replace("[:]", "")
        for match in matches
        if match
    )
    sizes = ", ".join(f"{name} has {there[name].num_examples}" for name in there)
    try:
        parts = tfds.core.ReadInstruction.from_spec(found).to_absolute(there)
    except ValueError:
        raise NoSuchSplit(
            f"split: {split!r} reaches beyond the examples: {sizes}"
        ) from None
    ends = [there[p.splitname].num_examples if p.to is None else p.to for p in parts]
    if any(e <= (p.from_ or 0) for p, e in zip(parts, ends, strict=True)):
        raise NoSuchSplit(f"split: {split!r} holds no example: {sizes}")
    return found
