"""Memory and time that a compiled program will take on a device."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

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
    needed_bytes: float | None = None  # None also for a program that fits
    available_bytes: float | None = None  # None also for a program that fits
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
        needed, available = refused if isfinite(refused[0]) else (None, None)
        return Forecast(
            False,
            time.perf_counter() - start,
            needed_bytes=needed,
            available_bytes=available,
        )
    seconds = time.perf_counter() - start
    memory = _memory(compiled)
    if chip is None:
        return Forecast(True, seconds, memory)
    return _with_time(Forecast(True, seconds, memory), compiled, chip)


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


def needed_in_words(needed: float | None, available: float | None) -> str:
    """Says what a program that does not fit needs: "22.87 of 16.91 GB"."""
    if needed is None or available is None:
        return "more memory than there is"
    return f"{needed / 1e9:.2f} of {available / 1e9:.2f} GB"


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
