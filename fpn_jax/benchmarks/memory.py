"""Peak memory of whole detectors beside torchvision's: inference and training steps.

    python -m fpn_jax.benchmarks.memory [MODEL …]

For each it starts a new process on the CPU and prints its largest resident size in MB:
libraries, weights and compilation included.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax

from fpn_jax.benchmarks.detectors import GFLOP, our_inference, our_training
from fpn_jax.benchmarks.inputs import photograph, training_batch
from fpn_jax.benchmarks.peer_detectors import (
    peer_detector,
    peer_inference,
    peer_training,
)
from fpn_jax.benchmarks.timing import OURS
from fpn_jax.choices import check_choice
from fpn_jax.command_line import Positional, parse, user_errors
from fpn_jax.runtime import set_up

_PEER = "torchvision"
_CANVAS, _TRAINED = (800, 1333), (320, 320)
_RUNS = 3  # the first allocates, the next could add to it


@dataclass(frozen=True)
class Arguments:
    models: Positional[tuple[str, ...]] = ("fasterrcnn_resnet50_fpn",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("memory"):
        chosen = parse(Arguments, arguments, command="memory", description=__doc__)
        for name in chosen.models:
            check_choice("model", name, tuple(GFLOP))
        for name in chosen.models:
            for work in ("inference", "training"):
                ours, theirs = (peak_memory(who, work, name) for who in (OURS, _PEER))
                print(
                    f"{name} {work}: {OURS} {ours:.0f} MB, {_PEER} {theirs:.0f} MB, "
                    f"ratio {theirs / ours:.2f}",
                    flush=True,
                )
    return 0


def peak_memory(who: str, work: str, name: str) -> float:
    """Returns the MB that a new process needs for some runs of one side's `work`."""
    code = (
        "from fpn_jax.benchmarks import memory; "
        f"memory.measure({who!r}, {work!r}, {name!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ValueError(f"{work} of {name} by {who} failed: {reason}")
    return float(done.stdout)


def measure(who: str, work: str, name: str) -> None:
    """Prints the largest resident size of this process after its runs, in MB."""
    set_up()
    jax.config.update("jax_platforms", "cpu")  # a card's memory is not in that size
    run = _ready(who, work, name)
    for _ in range(_RUNS):
        run()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)  # Linux gives kB


def _ready(who: str, work: str, name: str) -> Callable[[], object]:
    if work == "inference":
        image = photograph(_CANVAS)
        if who == OURS:
            return our_inference(name, image)
        return peer_inference(peer_detector(name, _CANVAS), image)
    batch = training_batch(_TRAINED)
    if who == OURS:
        return our_training(name, batch)
    return peer_training(peer_detector(name, _TRAINED), name, batch)


if __name__ == "__main__":
    sys.exit(main())
