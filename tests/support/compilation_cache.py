"""The tests' compiled programs: kept for the next run, whichever clone it runs in."""

from pathlib import Path

from fpn_jax.runtime import cache_directory

LIMIT = 2**30  # bytes; a run of all quick tests writes about a tenth


def directory() -> Path:
    """Returns the place in the user's cache directory, beside the commands' own."""
    return cache_directory() / "tests-xla"


def prune(directory: Path, limit: int = LIMIT) -> None:
    """Deletes the programs least recently read until `limit` bytes are left.

    JAX's own limit looks at every file at every write: seconds, of thousands.
    """
    entries = []
    for path in directory.glob("*"):
        status = path.stat()
        entries.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
