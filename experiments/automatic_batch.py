"""The batch that `--data.batch-size auto` takes, and the memory of a step of it.

    python -m experiments.automatic_batch [digits] [mask]

`digits` is the default job, `mask` is experiments/coco_mask_rcnn.py (ResNet-50,
800x1344). For each it prints the batch, what the compiled step is told to need, and
what the process really took at its peak while the step ran. Linux and a CPU only.
"""

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from fpn_jax.compilation import bytes_of
from fpn_jax.runtime import set_up
from fpn_jax.training.batch_size import automatic_batch_size, with_batch_size
from fpn_jax.training.config import Config
from fpn_jax.training.experiment import load_experiment
from fpn_jax.training.lowering import lower_step

_MASK_RCNN = Path(__file__).with_name("coco_mask_rcnn.py")
CONFIGS = {"digits": Config, "mask": lambda: load_experiment(_MASK_RCNN)}


def main(names: Sequence[str]) -> None:
    set_up()
    for name in names:
        config = CONFIGS[name]()
        size, line = automatic_batch_size(config, images=100_000)
        told, taken = memory_of(with_batch_size(config, size))
        print(
            f"{name}: {line}; told {told / 1e9:.2f} GB, taken {taken / 1e9:.2f} GB, "
            f"{taken / told - 1:+.0%}",
            flush=True,
        )


def memory_of(config: Config) -> tuple[int, int]:
    """Returns the bytes that a step is told to need, and those that it took."""
    lowered = lower_step(config, jax.devices()[:1])
    step = lowered.compile()
    gc.collect()
    before = status("VmRSS")
    shapes, _ = lowered.in_avals
    state, batch = jax.tree.map(_empty, shapes)
    jax.block_until_ready((state, batch))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    jax.block_until_ready(step(state, batch))
    return bytes_of(step), status("VmHWM") - before


def status(name: str) -> int:
    """Returns bytes of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024


def _empty(shape: Any) -> jax.Array:
    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return jnp.zeros(shape.shape, shape.dtype)


if __name__ == "__main__":
    main(sys.argv[1:] or list(CONFIGS))
