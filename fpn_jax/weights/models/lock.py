"""One process at a time: a lock that the system frees where its process dies."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_POLL = 0.2  # seconds, where the system cannot wait


@contextlib.contextmanager
def locked(file: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Holds the lock of a file, which is made where it is missing.

    `waiting` is called once where another process has the lock.
    """
    with file.open("ab") as opened:
        if not _taken(opened):
            waiting()
            while not _taken(opened):
                time.sleep(_POLL)
        yield  # closing the file frees the lock


def _taken(file: BinaryIO) -> bool:
    """Takes the lock, and returns whether it was free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
