"""How tests compile: in haste, and for the next run too, whichever clone it is in."""

from importlib.metadata import version
from pathlib import Path

from fpn_jax.runtime import cache_directory

LIMIT = 2**30  # bytes; a run of all quick tests writes about a tenth


def hasty_flags() -> str:
    """Returns the flags that compile a training step in a third of the time.

    A flag that jaxlib does not know aborts the process: 0.12 has one emitter only.
    """
    flags = "--xla_backend_optimization_level=0"
    major, minor = (int(part) for part in version("jaxlib").split(".")[:2])
    if (major, minor) < (0, 11):
        flags += " --xla_cpu_use_fusion_emitters=false"
        flags += " --xla_cpu_parallel_codegen_split_count=1"
    return flags


def as_users() -> dict[str, bool | int]:
    """Returns jit's options that compile one program as users do.

    For sums of many terms that are held against another library's: in haste they are
    added in an order that moves some of them by more than the tolerance.
    """
    options: dict[str, bool | int] = {"xla_backend_optimization_level": 3}
    if "fusion_emitters" in hasty_flags():
        options |= {"xla_cpu_use_fusion_emitters": True}
    return options


def cache() -> Path:
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
