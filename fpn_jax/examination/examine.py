"""A walk through the examples of the splits of a data set, for their defects."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, zip_longest

import numpy as np

from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Category, Example, Source, UnreadableImage
from fpn_jax.data.formats.splits import NoSuchSplit
from fpn_jax.data.selection import Selection
from fpn_jax.examination.example_defects import example_defects

_THREADS = 4  # decoding leaves Python's lock
_AT_ONCE = 64  # examples in memory, at most
_SHARE_WITH_OBJECTS = 0.1  # of the images; in fewer their labels were hardly found


@dataclass(frozen=True)
class Seen:
    """The facts of an example that later tables need, without its pixels."""

    index: int
    name: str
    size: tuple[int, int]  # height, width
    boxes: np.ndarray  # [N, 4] float32
    labels: np.ndarray  # [N] int
    crowd: np.ndarray  # [N] bool
    digest: bytes  # of its pixels: equal images have an equal one


@dataclass(frozen=True)
class Examination:
    """A split that was walked through."""

    source: Source
    seen: list[Seen]  # readable examples alone
    defects: list[Defect]

    @property
    def readable(self) -> Selection:
        """The examples that were seen, as a source of their own."""
        return Selection(self.source, np.array([one.index for one in self.seen], int))


def examine(source: Source) -> Examination:
    """Reads every image once; returns the facts of all, and the defects."""
    defects = list(source.defects)
    seen = []
    for found, problems in _examined(source):
        defects += problems
        if found is not None:
            seen.append(found)
    defects += _alike(source.categories)
    defects += _without_objects(source.categories, seen)
    defects += _few_objects(seen, len(source))
    defects += _repeated(seen)
    return Examination(source, seen, defects)


def examine_splits(
    open_split: Callable[[str], Source], names: Sequence[str] | None
) -> tuple[dict[str, Examination], dict[str, NoSuchSplit]]:
    """Examines the splits of a data set; also returns the splits that it does not have.

    By default these are "train" and, if it is there, "validation". A folder of one
    split, which gives the same for every name, is examined once.

    Raises:
        NoSuchSplit: if the first split or one of `names` is not there.
    """
    splits, missing = {}, {}
    for name in names or ("train", "validation"):
        try:
            source = open_split(name)
        except NoSuchSplit as error:
            if names or not splits:
                raise
            missing[name] = error
            continue
        if source.name not in {each.source.name for each in splits.values()}:
            splits[name] = examine(source)
    return splits, missing


def all_defects(splits: Mapping[str, Examination]) -> list[tuple[str, Defect]]:
    """The defects of each split and of each pair of splits, with the split's name."""
    defects = [(name, defect) for name, one in splits.items() for defect in one.defects]
    for (_, first), (name, other) in combinations(splits.items(), 2):
        defects += [(name, defect) for defect in shared_defects(first, other)]
    return defects


def shared_defects(first: Examination, other: Examination) -> list[Defect]:
    """Returns what is wrong between two splits: images of both, unequal classes."""
    defects = []
    if first.source.categories != other.source.categories:
        pairs = zip_longest(first.source.categories, other.source.categories)
        unlike = [(one, two) for one, two in pairs if one != two]
        reason = (
            f"{len(unlike)} differ, the first: {_text(unlike[0][0])} in one split, "
            f"{_text(unlike[0][1])} in the other"
        )
        defects.append(Defect("classes differ", "categories", reason))
    return [*defects, *_in_both(first.seen, other.seen)]


def _text(category: Category | None) -> str:
    return "none" if category is None else f"{category.name!r} (id {category.id})"


def _examined(source: Source) -> Iterator[tuple[Seen | None, list[Defect]]]:
    """Yields what is kept of each example and its defects, in their order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(source), _AT_ONCE):
            indices = range(start, min(start + _AT_ONCE, len(source)))
            yield from pool.map(lambda index: _examined_one(source, index), indices)


def _examined_one(source: Source, index: int) -> tuple[Seen | None, list[Defect]]:
    try:
        example = source[index]
    except UnreadableImage as error:
        return None, [Defect(error.kind, f"image {index + 1}", str(error))]
    except ValueError as error:  # broken masks
        return None, [Defect("image unlike its rows", f"image {index + 1}", str(error))]
    return _kept(index, example), example_defects(example)


def _kept(index: int, example: Example) -> Seen:
    pixels = np.ascontiguousarray(example.image)
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(pixels.data)
    return Seen(
        index=index,
        name=example.name,
        size=example.image.shape[:2],
        boxes=example.boxes,
        labels=example.labels,
        crowd=example.crowd,
        digest=digest.digest(),
    )


def _alike(categories: Sequence[Category]) -> Iterator[Defect]:
    """Yields a note for each class whose name differs from another's by its spelling.

    Files of several people have `Dog` and `dog`, or one name in two forms of Unicode.
    """
    first = {}
    for category in categories:
        letters = unicodedata.normalize("NFKC", category.name).casefold()
        earlier = first.setdefault(re.sub(r"[\s_-]", "", letters), category)
        if earlier is not category:
            place, reason = f"class {_text(category)}", f"reads as {_text(earlier)}"
            yield Defect("classes alike", place, reason, note=True)


def _without_objects(
    categories: Sequence[Category], seen: Sequence[Seen]
) -> Iterator[Defect]:
    """Yields a note for each class that no image has: a part of a data set lacks some.

    Where there are no objects at all `_few_objects` says so.
    """
    counts = Counter(label for one in seen for label in one.labels[~one.crowd].tolist())
    for label, category in enumerate(categories):
        if counts and not counts[label]:
            place = f"class {_text(category)}"
            yield Defect("class without objects", place, "no image has one", note=True)


def _few_objects(seen: Sequence[Seen], num_images: int) -> Iterator[Defect]:
    """Yields a defect where nothing can be learnt, a note where little can."""
    if not num_images:
        yield Defect("no images", "images", "the data set lists none")
    having = sum(not one.crowd.all() for one in seen)
    if seen and having < _SHARE_WITH_OBJECTS * len(seen):
        count = f"only {having} of {len(seen)} have" if having else "none has"
        reason = f"{count} an object that is no crowd"
        yield Defect("no objects", "images", reason, note=having > 0)


def _repeated(seen: Sequence[Seen]) -> Iterator[Defect]:
    """Yields a defect for each image that equals an earlier one."""
    first = {}
    for one in seen:
        earlier = first.setdefault(one.digest, one)
        if earlier is not one:
            yield _equal("image twice", one, earlier)


def _in_both(seen: Sequence[Seen], others: Sequence[Seen]) -> Iterator[Defect]:
    """Yields a defect for each of the others that equals one of those seen."""
    first = {one.digest: one for one in seen}
    for other in others:
        if other.digest in first:
            yield _equal("image of both splits", other, first[other.digest])


def _equal(kind: str, one: Seen, other: Seen) -> Defect:
    reason = f"has the pixels of {other.name}"
    return Defect(kind, f"image {one.index + 1}", reason, one.name)
