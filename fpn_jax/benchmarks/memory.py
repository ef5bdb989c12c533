"""Peak memory of a process that does one thing: inference or training steps.

    python -m fpn_jax.benchmarks.memory jax infer fasterrcnn_resnet50_fpn

prints the largest resident size so far in MB, libraries and compilation included.
"""

import resource
import subprocess
import sys

from fpn_jax.benchmarks.detectors import inference_contest, training_contest
from fpn_jax.benchmarks.timing import OURS

CONTESTS = {"infer": inference_contest, "train": training_contest}
_RUNS = 3


def peak_memory(who: str, work: str, name: str) -> float:
    """Returns the MB that a new process needed for three runs of a contestant.

    `who` is "jax" or "torchvision", `work` one of CONTESTS, `name` of the zoo.
    """
    command = [sys.executable, "-m", __name__, who, work, name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        raise ValueError(f"{work} of {name} by {who} failed: {''.join(reason)}")
    return float(done.stdout)


def main(who: str, work: str, name: str) -> None:
    contest = CONTESTS[work](who != OURS, name=name, only=who)
    for _ in range(_RUNS):
        contest.contestants[who]()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(kilobytes / 1e3)


if __name__ == "__main__":
    from fpn_jax.runtime import set_up

    set_up()
    main(*sys.argv[1:])
