"""How XLA compiles: its flags, and programs compiled by hand to save memory."""

import contextlib
import ctypes
import math
import os
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# jaxlib 0.10 sends float32 convolutions on CPU to YNNPACK, where Eigen is 2-3 times
# faster for 1x1 convolutions and 3-5 times for weight gradients.
_CPU_CONV_FLAG = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"


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
    """Compiles a function, calls it and drops the program; `options` are jit's.

    Initializations run once, and the program of a detector's would keep 130 MB. On CPU
    it is optimized little: for the random numbers of each parameter, XLA's usual level
    takes 2.4 times as long to compile, and saves tenths of a second.
    """
    import jax

    options_of_xla: dict[str, Any] | None = None
    if jax.local_devices()[0].platform == "cpu":  # where it is called
        options_of_xla = {"xla_backend_optimization_level": 1}
    lowered = jax.jit(function, **options).lower(*arguments)
    return lowered.compile(compiler_options=options_of_xla)(*arguments)


def compile_first(program: Any) -> Callable:
    """Wraps a jitted `program`, only the last argument's shapes of which may vary.

    It is compiled before the first call with each shape, and the memory that compiling
    took goes back to the system in between: 90 MB for a Faster R-CNN's training, and
    400 MB where no cache has the program.

    Raises MemoryError, before the first call, where a device has too little for it.
    """
    import jax

    executables = {}

    def call(*arguments):
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arguments[-1]))
        if shapes not in executables:
            executables[shapes] = program.lower(*arguments).compile()
            check_fits(bytes_of(executables[shapes]))
            if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc
                libc.malloc_trim(0)
        return executables[shapes](*arguments)

    return call


def check_fits(needed: float) -> None:
    """Raises MemoryError where a step needs more bytes than a device has in all.

    On CPU the system would end the process without a word.
    """
    if needed > (there := device_bytes()):
        raise MemoryError(
            f"a step needs {needed / 1e9:.1f} GB, there are {there / 1e9:.1f} GB"
        )


def device_bytes() -> float:
    """Returns the memory of a device, on CPU of the machine; infinite if not known."""
    import jax

    device = jax.local_devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit", math.inf)
    limits = [math.inf]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)


def free_bytes() -> float:
    """Returns the memory of a device that nothing uses now, as far as it is known."""
    import jax

    device = jax.local_devices()[0]
    if device.platform != "cpu":
        used = (device.memory_stats() or {}).get("bytes_in_use", 0)
        return device_bytes() - used
    with contextlib.suppress(OSError, ValueError, StopIteration):  # Linux has it
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return min(device_bytes(), int(line.split()[1]) * 1024)
    return device_bytes()


def bytes_of(executable: Any) -> int:
    """Returns the bytes of a program's arguments, results and buffers together."""
    memory = executable.memory_analysis()
    if memory is None:  # not every platform knows
        return 0
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def bytes_needed(lowered: Any) -> float:
    """Compiles a program and returns what it needs, also where a chip has less.

    The compiler of a TPU refuses such a program: its words have the number. Raises
    what it raises without one.
    """
    try:
        return bytes_of(lowered.compile())
    except Exception as error:
        needed, _ = refused_bytes(error) or (math.inf, 0)
        if not math.isfinite(needed):
            raise
        return needed


def refused_bytes(error: Exception) -> tuple[float, float] | None:
    """Returns the bytes that a refused program needs, and how many there are.

    Infinity and zero where the compiler does not say; None for any other error.
    """
    said = str(error)
    if not re.search("RESOURCE_EXHAUSTED|Ran out of memory", said):
        return None
    size = r"([\d.]+)([KMGT]?)"
    found = re.search(rf"Used {size} of {size}", said) or re.search(
        rf"\({size}\) exceeds available \w+ \({size}\)", said
    )
    if found is None:
        return math.inf, 0
    needed, needed_unit, there, there_unit = found.groups()
    return _bytes(needed, needed_unit), _bytes(there, there_unit)


def _bytes(number: str, unit: str) -> float:
    return float(number) * 1024 ** " KMGT".index(unit or " ")
