"""Compiles the training step of the default job for one TPU v5e, which is not here.

    python -m tests.support.chip_step

Prints its forecast as JSON, with the number of instructions of the optimized program.
"""

import json
import time
from dataclasses import asdict
from types import SimpleNamespace

from fpn_jax.forecast.topology import devices_of, read_topology, set_up_topology


def main() -> None:
    topology = read_topology("v5e:1x1")
    set_up_topology(topology)  # before JAX is imported

    from fpn_jax.forecast.estimate import forecast
    from fpn_jax.forecast.program_text import read_program
    from fpn_jax.training.config import Config
    from fpn_jax.training.lowering import lower_step

    lowered = lower_step(Config(), devices_of(topology))
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    made = forecast(SimpleNamespace(compile=lambda: compiled), topology.chip)
    computations = read_program(compiled.as_text()).computations.values()
    told = {"compiled_in": seconds, "num_instructions": sum(map(len, computations))}
    print(json.dumps(asdict(made) | told))


if __name__ == "__main__":
    main()
