"""What must be set before JAX starts its back end: flags, cache, other processes."""

import ctypes
import os
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Of glibc's mallopt: how many heaps the threads share. With one for each thread, what
# compilation has freed is not used again: 190 MB of a Faster R-CNN's training.
_M_ARENA_MAX, _ARENAS = -8, 1

# jaxlib 0.10 sends float32 convolutions on CPU to YNNPACK, where Eigen is 2-3 times
# faster for 1x1 convolutions and 3-5 times for weight gradients.
_CPU_CONV_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"


def set_up() -> None:
    """Prepares JAX for a command: CPU flags, memory, compilation cache, distribution.

    A run of several processes is announced by JAX_COORDINATOR_ADDRESS (host:port),
    JAX_NUM_PROCESSES and JAX_PROCESS_ID; see `join_processes` for others.
    """
    set_cpu_flags()
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):  # glibc; others have one heap
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
    import jax

    # A full disk is told by what needs it; without the cache a program is compiled.
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache"
    )

    if jax.config.jax_compilation_cache_dir is None:
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


def set_cpu_flags() -> None:
    """Adds the CPU convolution flag to XLA_FLAGS; call before JAX's first operation.

    A flag that jaxlib does not know aborts the process, hence the version test (0.7.2
    does not know it). A value the user has set is left alone.
    """
    major, minor = (int(part) for part in version("jaxlib").split(".")[:2])
    flags = os.environ.get("XLA_FLAGS", "")
    if (major, minor) >= (0, 10) and "ynn_fusion_type" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_CPU_CONV_FLAG}".strip()


def call_once(function: Callable, *arguments: Any, **options: Any) -> Any:
    """Returns what a function gives, compiled for this one call; `options` are jit's.

    For initializations. The program is dropped, which of a detector takes 130 MB. On
    CPU it is optimized little: for the random numbers of each parameter, XLA's usual
    level takes 2.4 times as long to compile, and saves tenths of a second.
    """
    import jax

    options_of_xla = None
    if jax.default_backend() == "cpu":
        options_of_xla = {"xla_backend_optimization_level": 1}
    lowered = jax.jit(function, **options).lower(*arguments)
    return lowered.compile(compiler_options=options_of_xla)(*arguments)


def compile_first(program: Any) -> Callable:
    """Returns a jitted `program` of which only the last argument's shapes vary.

    It is compiled before the first call with each, and what compiling has used goes
    back to the system in between: 90 MB of a Faster R-CNN's training, and 400 MB where
    no cache has the program.
    """
    import jax

    executables = {}

    def call(*arguments):
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arguments[-1]))
        if shapes not in executables:
            executables[shapes] = program.lower(*arguments).compile()
            if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc
                libc.malloc_trim(0)
        return executables[shapes](*arguments)

    return call


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    if not value.isdecimal():
        raise ValueError(f"{name} must be a number, got {value!r}")
    return int(value)


def cache_directory() -> Path:
    """Returns $XDG_CACHE_HOME/fpn_jax, by default ~/.cache/fpn_jax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fpn_jax"
