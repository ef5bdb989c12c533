"""The cost of the parts of a compiled program, as its own compiler estimates it.

Cycles are the compiler's. An instruction in a loop counts as often as the loop runs:
the number is in its condition, except of loops that end by their data. Some
instructions have no estimate, and no formulation may hide its cost in them: gathers and
scatters are counted by the rows they read or write, and others, such as sorting, window
reductions or slices with a stride, by the bytes, read and written at the memory's
speed, which is the least that they take.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fpn_jax.forecast.chips import Chip
from fpn_jax.forecast.program_text import (
    Computation,
    Instruction,
    Program,
    arrays,
    num_bytes,
    num_elements,
)

# Runs of a loop that ends by its data, as NMS does: a guess.
UNKNOWN_RUNS = 6
# Seconds that a row costs which is gathered or scattered: a guess, not measured.
SECONDS_PER_ROW = 10e-9
_COLLECTIVES = (
    *("all-reduce", "all-gather", "all-to-all", "reduce-scatter"),
    "collective-permute",
)
# Operations without an estimate that move nothing, or only beside others.
_FREE = frozenset(
    (
        *("parameter", "constant", "iota", "tuple", "get-tuple-element", "bitcast"),
        *("while", "conditional", "call", "after-all", "partition-id", "replica-id"),
        *("copy-start", "copy-done", "slice-start", "slice-done"),
        *("async-start", "async-update", "async-done", "optimization-barrier"),
        *("call-start", "call-update", "call-done"),
        *_COLLECTIVES,
        *(f"{kind}-{end}" for kind in _COLLECTIVES for end in ("start", "done")),
    )
)
# Custom calls that are no more than names.
_FREE_CALLS = re.compile(r'custom_call_target="(ConcatBitcast|AllocateBuffer|Sharding)')
# What a name in a scope is of JAX's own making, not a module's.
_NOT_MODULES = re.compile(
    r"^(jit|vmap|pjit|jvp|transpose|checkpoint|remat|custom_\w+)?\(|"
    r"^(while|body|cond|scan|closed_call|eval_jaxpr|checkpoint|rematted_computation|"
    r"shard_map|branch_\d+_fun)$"
)


class Part(NamedTuple):
    """An instruction of a program, with all of its runs."""

    instruction: Instruction
    scope: str  # its own, or of what it is fused of
    runs: int
    cycles: int  # of all runs, 0 where the compiler says none
    rows: int  # gathered or scattered, of all runs
    moved: int  # bytes read and written in all runs, where nothing else is known

    def seconds(self, chip: Chip) -> float:
        """Returns the time of all runs on a chip."""
        return (
            self.cycles / chip.clock
            + self.rows * SECONDS_PER_ROW
            + self.moved / chip.bandwidth
        )


class Costs(NamedTuple):
    """All that a program does in one run."""

    parts: tuple[Part, ...]
    collective_bytes: dict[str, int]  # by kind: what a device gives or takes
    hidden_bytes: dict[str, int]  # of these, while other instructions run
    guessed_loops: int  # loops whose number of runs is not known

    @property
    def rows(self) -> int:
        """Rows that all parts gather or scatter."""
        return sum(part.rows for part in self.parts)

    @property
    def moved(self) -> int:
        """Bytes that parts without another measure read and write."""
        return sum(part.moved for part in self.parts)

    def seconds(self, chip: Chip) -> float:
        """Returns the sum of all parts: what runs at once is counted one by one."""
        return sum(part.seconds(chip) for part in self.parts)


def costs_of(program: Program) -> Costs:
    """Returns the costs of all instructions that a program runs."""
    bytes_of: Counter[str] = Counter()
    hidden: Counter[str] = Counter()
    guessed = 0
    parts = []
    for run in _runs_of(program, program.entry, 1):
        instruction, runs = run.instruction, run.runs
        guessed += run.is_guess
        for kind in _COLLECTIVES:
            if instruction.operation in (kind, f"{kind}-start"):
                sent = runs * num_bytes(instruction.shape)
                bytes_of[kind] += sent
                hidden[kind] += sent if instruction.operation != kind else 0
        cycles = instruction.cycles or 0
        rows = 0 if cycles else _rows(program, run.within, instruction)
        moved = 0 if cycles or rows else _bytes_moved(instruction)
        part = Part(
            instruction,
            _scope(program, instruction) or run.around,
            runs,
            runs * cycles,
            runs * rows,
            runs * moved,
        )
        if part.cycles or part.rows or part.moved:
            parts.append(part)
    return Costs(tuple(parts), dict(bytes_of), dict(hidden), guessed)


def dearest(costs: Costs, chip: Chip, number: int) -> list[Part]:
    """Returns the parts that take longest, dearest first."""
    return sorted(costs.parts, key=lambda part: -part.seconds(chip))[:number]


def seconds_by_module(parts: Iterable[Part], chip: Chip) -> dict[str, float]:
    """Returns the seconds of each module, forward and backward, dearest first."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        seconds[module_of(part.scope)] += part.seconds(chip)
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def module_of(scope: str) -> str:
    """Returns the module that a scope is of: "backbone.stage2, backward".

    What is in no module is the optimizer's, or moves data between others.
    """
    names = scope.partition(";")[0].split("/")  # of several that are one
    modules = [name for name in names[:-1] if not _NOT_MODULES.match(name)]
    side = ", backward" if "transpose(" in scope else ""
    return (".".join(modules[:2]) or "outside of modules") + side


class _Run(NamedTuple):
    """An instruction that a computation runs."""

    instruction: Instruction
    runs: int
    is_guess: bool  # nothing says how often the loop runs
    around: str  # scope of the loop that it is in
    within: Computation


def _runs_of(
    program: Program, name: str, runs: int, around: str = ""
) -> Iterator[_Run]:
    """Yields the instructions that a computation runs.

    Only the branch with most cycles counts. A fusion is one instruction: its parts have
    no time of their own.
    """
    computation = program.computations.get(name, {})
    for instruction in computation.values():
        if instruction.operation == "while":
            trips = trip_count(program, name, instruction)
            yield _Run(instruction, runs, trips is None, around, computation)
            for called in (instruction.named("body"), instruction.named("condition")):
                scope = instruction.scope or around
                inner = runs * (trips or UNKNOWN_RUNS)
                yield from _runs_of(program, called, inner, scope)
        elif instruction.operation == "conditional":
            branches = [
                [*_runs_of(program, called, runs, around)]
                for called in instruction.called
            ]
            yield from max(branches, key=_cycles, default=[])
        elif instruction.operation in ("call", "call-start", "async-start"):
            for called in instruction.called:
                yield from _runs_of(program, called, runs, around)
        else:
            yield _Run(instruction, runs, False, around, computation)


def _scope(program: Program, instruction: Instruction) -> str:
    """Returns where an instruction comes from, or one that it is fused of."""
    inner = (
        _scope(program, line)
        for called in instruction.called
        for line in program.computations.get(called, {}).values()
    )
    return instruction.scope or next(filter(None, inner), "")


def _cycles(branch: Iterable[_Run]) -> int:
    return sum(run.runs * (run.instruction.cycles or 0) for run in branch)


def trip_count(program: Program, name: str, loop: Instruction) -> int | None:
    """Returns how often the body of a loop runs, None where its data decides.

    A counter that starts at 0 and is compared with a constant; the constant may have
    been put into the tuple that the loop carries.
    """
    condition = program.computations.get(loop.named("condition"), {})
    root = next((x for x in condition.values() if x.is_root), None)
    if (
        root is None
        or root.operation != "compare"
        or "direction=LT" not in root.attributes
    ):
        return None
    _, bound = (condition.get(x) for x in root.operands)
    if bound is not None and bound.operation == "get-tuple-element":
        index = re.search(r"index=(\d+)", bound.attributes)
        outside = program.computations[name]
        carried = outside.get(loop.operands[0])
        if index is None or carried is None or carried.operation != "tuple":
            return None
        bound = outside.get(carried.operands[int(index.group(1))])
    while bound is not None and bound.operation in ("copy", "bitcast"):
        bound = program.computations[name].get(bound.operands[0])
    if (
        bound is None
        or bound.operation != "constant"
        or not bound.operands[0].isdigit()
    ):
        return None
    return int(bound.operands[0])


def _bytes_moved(instruction: Instruction) -> int:
    """Returns twice the bytes of a result, which is read and written; 0 if free."""
    if instruction.operation in _FREE or (
        instruction.operation == "custom-call"
        and _FREE_CALLS.search(instruction.attributes)
    ):
        return 0
    return 2 * num_bytes(instruction.shape)


def _rows(program: Program, within: Computation, instruction: Instruction) -> int:
    """Counts the rows that an instruction, or its fusion, gathers or scatters."""
    if instruction.operation == "gather":
        row = math.prod(instruction.numbers("slice_sizes"))
        return num_elements(instruction.shape) // max(row, 1)
    if instruction.operation == "scatter":  # the last operand has the updates
        _, sides = next(arrays(within[instruction.operands[-1]].shape))
        windows = instruction.numbers("update_window_dims")
        return math.prod(side for n, side in enumerate(sides) if n not in windows)
    if instruction.operation != "fusion":
        return 0
    fused = (program.computations.get(called, {}) for called in instruction.called)
    return sum(
        _rows(program, lines, line) for lines in fused for line in lines.values()
    )
