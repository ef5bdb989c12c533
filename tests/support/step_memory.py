"""Prints what the default job's step is told to take on a CPU, and what it takes.

In a process of its own: bytes that arrays and a step add to it. Linux only.
"""

import gc
from pathlib import Path

import jax
import jax.numpy as jnp

from fpn_jax.forecast import forecast
from fpn_jax.training import Config
from fpn_jax.training.lowering import lower_step


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024


def empty(shape) -> jax.Array:
    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return jnp.zeros(shape.shape, shape.dtype)


def main() -> None:
    lowered = lower_step(Config(), jax.devices()[:1])
    told = forecast(lowered, chip=None).memory
    step = lowered.compile()
    gc.collect()
    before = status("VmRSS")
    shapes, _ = lowered.in_avals
    state, batch = jax.tree.map(empty, shapes)
    jax.block_until_ready((state, batch))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    jax.block_until_ready(step(state, batch))
    print(told.total, status("VmHWM") - before)


if __name__ == "__main__":
    main()
