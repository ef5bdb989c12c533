"""A run that fails before its first numbers leaves nothing behind."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fpn_jax.training.metrics import read_metrics


@contextlib.contextmanager
def nothing_left(run: Path) -> Iterator[None]:
    """Removes what was made in a run directory inside, where that ends in an error.

    What was there before stays, and so does all of a run that has written numbers of a
    step or a checkpoint.
    """
    before = set(run.iterdir()) if run.is_dir() else None
    try:
        yield
    except BaseException:
        if run.is_dir() and not _has_records(run):
            for path in set(run.iterdir()) - (before or set()):
                _remove(path)
            if before is None:
                run.rmdir()
        raise


def _has_records(run: Path) -> bool:
    saved = run / "checkpoints"
    return bool(read_metrics(run)) or (saved.is_dir() and any(saved.iterdir()))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
