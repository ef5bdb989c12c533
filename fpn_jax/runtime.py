"""Settings made before JAX starts its back end: flags, cache, other processes."""

import ctypes
import os
import warnings
from importlib.util import find_spec
from pathlib import Path

from fpn_jax.compilation import set_cpu_flags

# glibc's mallopt sets how many heaps the threads of a process share. With one for each
# thread a CPU's training keeps 130 MB that compilation has freed, with two none. With a
# single one the compiler's threads wait for each other: a training of four steps took
# 95 s, with two heaps 82.
_M_ARENA_MAX, _ARENAS = -8, 2
# Packages of compilers for chips with memory of their own: nothing is spared there, and
# libtpu's many threads take 1.7 times as long with one heap.
_OTHER_COMPILERS = ("libtpu", "jax_plugins")


def set_up() -> None:
    """Prepares JAX for a command: CPU flags, memory, compilation cache, distribution.

    A run of several processes is announced by JAX_COORDINATOR_ADDRESS (host:port),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; see `join_processes` for others.
    """
    set_cpu_flags()
    if not any(map(find_spec, _OTHER_COMPILERS)):
        _share_heaps()
    import jax

    # A full disk is told by what needs it; without the cache a program is compiled.
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache"
    )

    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "xla"))
    if address := os.environ.get("JAX_COORDINATOR_ADDRESS"):
        count, number = map(_number, ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        jax.distributed.initialize(address, count, number)


def join_processes() -> None:
    """Joins the processes that a TPU pod, Slurm or Open MPI has announced.

    Call before JAX's first operation. Raises ValueError where nothing announces any.
    """
    import jax

    if jax.distributed.is_initialized():  # by the three variables
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:  # of a missing address
        raise ValueError(
            "distributed: no TPU pod, Slurm or Open MPI here; set "
            "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error


def num_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_directory() -> Path:
    """Returns $XDG_CACHE_HOME/fpn_jax, by default ~/.cache/fpn_jax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fpn_jax"


def _share_heaps() -> None:
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):  # glibc; others have one heap
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    if not value.isdecimal():
        raise ValueError(f"{name} must be a number, got {value!r}")
    return int(value)
