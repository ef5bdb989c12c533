"""Files of images by the names that tools write for them.

A name is tried as it is, then with its backslashes as separators, as Windows writes
them, then with `%20` and the like decoded, as a web server writes them, then in both
forms that Unicode has for an accent: macOS takes letters apart. Then the ends
of these paths are tried, the longest first: another machine, or a tool that ran in
another folder, wrote the path. At last the suffix is tried in small letters and in
capitals, which Windows and macOS take for the same.
"""

import os.path
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar
from urllib.parse import unquote

_Found = TypeVar("_Found")

_ABSENT = (FileNotFoundError, NotADirectoryError)


def by_any_spelling(name: str, take: Callable[[str], _Found]) -> _Found:
    """The result of `take` for the first spelling of a name that is a file.

    Raises what `take` raises: FileNotFoundError for the name as it is, if no spelling
    of it is a file.
    """
    try:
        return take(name)
    except _ABSENT:
        for other in spellings(name):
            try:
                return take(other)
            except _ABSENT:
                pass
        raise


def is_any_there(names: Iterable[str], open_file: Callable[[str], BinaryIO]) -> bool:
    """Whether one of the names can be opened, by any of its spellings."""
    for name in names:
        try:
            by_any_spelling(name, open_file).close()
            return True
        except (OSError, ValueError):
            pass
    return False


def spellings(name: str) -> Iterator[str]:
    """Yields a name and what else the file may be called here, each once."""
    slashed = name.replace("\\", "/")
    written = (name, slashed, unquote(name), unquote(slashed))
    known = dict.fromkeys(written)
    known |= dict.fromkeys(form for one in written for form in unicode_forms(one))
    whole = [one for one in known if "\0" not in one]
    ends = dict.fromkeys(whole) | dict.fromkeys(
        end for one in whole for end in ends_of(one)
    )
    yield from ends
    for end in ends:
        stem, suffix = os.path.splitext(end)
        yield from (
            stem + one for one in (suffix.lower(), suffix.upper()) if one != suffix
        )


def unicode_forms(name: str) -> Iterator[str]:
    """Yields a name, and the same in composed and in decomposed letters, each once."""
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    yield from dict.fromkeys((name, *forms))


def ends_of(path: str) -> Iterator[str]:
    """Yields a path, and its ends from the longest to the name of the file."""
    yield path
    parts = PurePosixPath(path).parts
    for start in range(1, len(parts)):
        yield "/".join(parts[start:])
