"""How XLA compiles: its flags, and programs compiled by hand to save memory."""

import ctypes
import os
from collections.abc import Callable
from importlib.metadata import version
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
    if jax.default_backend() == "cpu":
        options_of_xla = {"xla_backend_optimization_level": 1}
    lowered = jax.jit(function, **options).lower(*arguments)
    return lowered.compile(compiler_options=options_of_xla)(*arguments)


def compile_first(program: Any) -> Callable:
    """Wraps a jitted `program`, only the last argument's shapes of which may vary.

    It is compiled before the first call with each shape, and the memory that compiling
    took goes back to the system in between: 90 MB for a Faster R-CNN's training, and
    400 MB where no cache has the program.
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
