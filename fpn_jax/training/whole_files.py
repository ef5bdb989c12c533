"""Files that are whole at any moment: the old text, or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path`, to write a file that takes its place at the end.

    A kill leaves the old file, or none.
    """
    beside = path.with_name(f".new.{path.name}")
    yield beside
    os.replace(beside, path)


def replace_text(path: Path, text: str) -> None:
    """Writes a file beside `path`, then renames it: a kill leaves the old one.

    An OSError names the path.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text)
    except OSError as error:
        error.filename = str(path)
        raise
    os.replace(beside, path)
