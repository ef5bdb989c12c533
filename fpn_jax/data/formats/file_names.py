"""Files of images by the names that tools write for them.

A name is tried as it is, then with its backslashes as separators, as Windows writes
them, then with `%20` and the like decoded, as a web server writes them; of a
path on another machine the ends are tried, the longest first.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote

_Found = TypeVar("_Found")


def by_any_spelling(name: str, take: Callable[[str], _Found]) -> _Found:
    """The result of `take` for the first spelling of a name that is a file.

    Raises what `take` raises: FileNotFoundError for the name as it is, if no spelling
    of it is a file.
    """
    try:
        return take(name)
    except FileNotFoundError:
        for other in _spellings(name):
            try:
                return take(other)
            except FileNotFoundError:
                pass
        raise


def _spellings(name: str) -> Iterator[str]:
    slashed = name.replace("\\", "/")
    for other in (slashed, unquote(name), unquote(slashed)):
        if other != name and "\0" not in other:
            yield other
    if re.match(r"/|[A-Za-z]:/", slashed):
        yield from itertools.islice(ends_of(slashed), 1, None)


def ends_of(name: str) -> Iterator[str]:
    """Yields a path, and its ends from the longest to the name of the file.

    Another machine wrote the path absolute, and its end may be a path in the data set.
    """
    yield name
    parts = PurePosixPath(name).parts
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])
