"""Memory and time that a compiled program will take on a device."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from fpn_jax.compilation import refused_bytes
from fpn_jax.forecast.chips import Chip
from fpn_jax.forecast.costs import (
    Costs,
    costs_of,
    dearest,
    module_of,
    seconds_by_module,
)
from fpn_jax.forecast.program_text import read_program

_NUM_DEAREST = 10
# Numbers below `_FEW` are searched exactly, larger ones to one part in `_SHARE`.
_FEW, _SHARE = 32, 16
_MARGIN = 0.75  # of the number that a single trial predicts


@dataclass(frozen=True)
class Memory:
    """Bytes of one device by their kind; those that arguments leave to results once."""

    arguments: int
    results: int
    working: int  # of all buffers in between
    shared: int  # of the results, in place of arguments

    @property
    def total(self) -> int:
        return self.arguments + self.results + self.working - self.shared


@dataclass(frozen=True)
class Forecast:
    """The forecast of a program on one device; None where the compiler does not say."""

    fits: bool
    compiled_in: float  # seconds
    memory: Memory | None = None
    needed: str | None = None  # where it does not fit: "22.87 of 16.91 GB"
    needed_bytes: float | None = None  # then, if the compiler says
    seconds: float | None = None
    share_of_peak: float | None = None
    rows: int = 0  # gathered or scattered, and charged in the seconds
    moved: int = 0  # bytes of what else has no estimate, charged as well
    guessed_loops: int = 0
    modules: dict[str, float] = field(default_factory=dict)  # seconds, dearest first
    instructions: tuple[tuple[float, str], ...] = ()  # seconds and what it is
    collective_bytes: dict[str, int] = field(default_factory=dict)
    hidden_bytes: dict[str, int] = field(default_factory=dict)  # beside other work


def forecast(lowered: Any, chip: Chip | None) -> Forecast:
    """Compiles a lowered program; raises nothing where a chip has too little memory."""
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except Exception as error:
        if (refused := refused_bytes(error)) is None:
            raise
        return Forecast(
            False,
            time.perf_counter() - start,
            needed=_in_words(*refused),
            needed_bytes=refused[0] if isfinite(refused[0]) else None,
        )
    seconds = time.perf_counter() - start
    memory = _memory(compiled)
    if chip is None:
        return Forecast(True, seconds, memory)
    return _with_time(Forecast(True, seconds, memory), compiled, chip)


class Trial(NamedTuple):
    """Whether a program of so many images fits, and its bytes where they are known."""

    fits: bool
    needed: float | None


def largest_that_fits(
    try_number: Callable[[int], Trial], first: int, limit: int
) -> int:
    """Returns the largest number that fits, 0 if 1 does not.

    From 32 on the number fits, and a sixteenth more does not, or would not by a line
    through the trials. The line keeps the search from batches that fit only because
    the compiler recomputes values near its limit. Each trial is a compilation, so the
    next number is the one where the line meets the limit.
    """
    known: dict[int, float] = {}
    low, high, number = 0, None, first
    while True:
        fits, needed = try_number(number)
        low, high = (number, high) if fits else (low, number)
        if needed is not None:
            known[number] = needed
        guess, step = _guess(known, low, high, limit), max(1, low // _SHARE)
        full = low >= _FEW and len(known) > 1 and guess <= low + step
        if full or (high is not None and high - low <= step):
            return low
        number = max(guess, low + step)
        if high is not None:
            number = min(number, high - 1)


def _guess(known: dict[int, float], low: int, high: int | None, limit: int) -> int:
    """Returns where a line through two trials meets the limit.

    The trials are the largest that fits and the smallest that does not. If all fit, or
    none does, they are the smallest and the largest. A single trial gives a line
    through zero, and a margin is left. Without known bytes the search bisects.
    """
    numbers = sorted(known)
    below = [number for number in numbers if number <= low]
    above = [number for number in numbers if number > low]
    if len(numbers) == 1:
        ((number, needed),) = known.items()
        return int(_MARGIN * number * limit / needed)
    if numbers:
        first, last = numbers[0], numbers[-1]
        if below and above:
            first, last = below[-1], above[0]
        least, most = known[first], known[last]
        if most > least:
            return first + int((limit - least) * (last - first) / (most - least))
    return 2 * low if high is None else (low + high) // 2


def _memory(compiled: Any) -> Memory | None:
    known = compiled.memory_analysis()
    if known is None:
        return None
    return Memory(
        known.argument_size_in_bytes,
        known.output_size_in_bytes,
        known.temp_size_in_bytes,
        known.alias_size_in_bytes,
    )


def _in_words(needed: float, there: float) -> str:
    if not there:
        return "more than there is"
    return f"{needed / 1e9:.2f} of {there / 1e9:.2f} GB"


def _with_time(made: Forecast, compiled: Any, chip: Chip) -> Forecast:
    costs = costs_of(read_program(compiled.as_text()))
    seconds = costs.seconds(chip)
    return Forecast(
        made.fits,
        made.compiled_in,
        made.memory,
        seconds=seconds,
        share_of_peak=_flops(compiled) / chip.peak / seconds if seconds else None,
        rows=costs.rows,
        moved=costs.moved,
        guessed_loops=costs.guessed_loops,
        modules=seconds_by_module(costs.parts, chip),
        instructions=_named(costs, chip),
        collective_bytes=costs.collective_bytes,
        hidden_bytes=costs.hidden_bytes,
    )


def _named(costs: Costs, chip: Chip) -> tuple[tuple[float, str], ...]:
    return tuple(
        (
            part.seconds(chip),
            f"{part.instruction.operation} {part.instruction.shape.partition('{')[0]}"
            + (f", {part.runs} times" if part.runs > 1 else "")
            + (f", {part.rows:,} rows" if part.rows else "")
            + f": {_place(part.scope)}",
        )
        for part in dearest(costs, chip, _NUM_DEAREST)
    )


def _place(scope: str) -> str:
    """Returns a scope's module and the function in it: "box_head, backward: mul"."""
    return ": ".join(filter(None, (module_of(scope), scope.rpartition("/")[2])))


def _flops(compiled: Any) -> float:
    costs: Any = compiled.cost_analysis()
    first = costs[0] if isinstance(costs, Sequence) else costs  # a list in old jax
    return float((first or {}).get("flops", 0.0))
