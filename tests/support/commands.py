"""Running the commands as a user does: in a process of their own."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MINIATURE = ROOT / "tests" / "support" / "miniature.py"


def environment(cache: Path, **variables: str) -> dict[str, str]:
    """Returns an environment with one CPU device and a cache of the tests' own."""
    return os.environ | {
        "XDG_CACHE_HOME": str(cache),
        "JAX_NUM_CPU_DEVICES": "1",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def command(*arguments: object) -> list[str]:
    name, *rest = map(str, arguments)
    return [sys.executable, "-m", f"fpn_jax.{name}", *rest]


def run(
    *arguments: object, cache: Path, timeout: int = 300, **options
) -> subprocess.CompletedProcess:
    """Returns a finished command; its output is text."""
    return subprocess.run(
        command(*arguments),
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )


def training(data: Path, workdir: Path, *overrides: object) -> list[object]:
    """Returns the arguments that train the miniature."""
    source = ["--data.source", data]
    return ["train", MINIATURE, "--workdir", workdir, *source, *overrides]


def without_privileges() -> None:
    """Has permissions bind root too: a `preexec_fn` of a process."""
    if os.geteuid():
        return
    drop_from_bounding_set, override, read_search, owner = 24, 1, 2, 3  # Linux
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (override, read_search, owner):
        if libc.prctl(drop_from_bounding_set, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
