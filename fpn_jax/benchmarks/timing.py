"""Fair timing: contestants take turns on a quiet machine."""

import operator
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

OURS = "jax"

# Idle OpenMP threads (torch's) spin for about a millisecond before they sleep.
_PAUSE = 0.01  # seconds between runs


@dataclass(frozen=True)
class Contest:
    """One row of the suite, ready to run.

    Every contestant is a function that does the row's whole work and returns when it is
    done; `OURS` is one of them. They have been shown to agree.
    """

    contestants: Mapping[str, Callable[[], object]]
    runs: int  # timed runs of each contestant
    flop: float | None = None  # of one run, 2 x multiply-accumulate
    difference: float | None = None  # largest between ours and a peer, relative


@dataclass(frozen=True)
class Timing:
    """One contestant's runs."""

    median: float  # seconds
    minimum: float  # seconds
    ratio: float  # its time over ours of the same turn, the median of the turns


def take_turns(contest: Contest) -> dict[str, Timing]:
    """Median and minimum time of each contestant; A B A B …, after two runs unmeasured.

    Taking turns exposes all to the same drift of the machine's clock and load, and what
    it does within a turn to the ratio is less than what it does over all of them.
    """
    seconds = {name: [] for name in contest.contestants}
    for turn in range(contest.runs + 2):
        for name, run in contest.contestants.items():
            time.sleep(_PAUSE)
            start = time.perf_counter()
            run()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {
        name: Timing(
            statistics.median(values),
            min(values),
            statistics.median(map(operator.truediv, values, seconds[OURS])),
        )
        for name, values in seconds.items()
    }


def busy_share(seconds: float = 1.0) -> float | None:
    """Share of the cores' time that others use while this process sleeps.

    None where the system does not say (it needs Linux's /proc/stat).
    """
    if not Path("/proc/stat").exists():
        return None
    before = _cpu_ticks()
    time.sleep(seconds)
    total, idle = (b - a for a, b in zip(before, _cpu_ticks(), strict=True))
    return 1 - idle / max(total, 1)


def _cpu_ticks() -> tuple[int, int]:
    """All ticks and idle ticks of all cores since the system started (man 5 proc)."""
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]  # idle, and idle while waiting for a disk
