"""Reads the text of a program that XLA has optimized: its computations, line by line.

A line is `%name = shape operation(operands), attributes`. What XLA's own interfaces do
not tell is in the attributes: the TPU's compiler writes down how many cycles it expects
of almost every instruction, by which it has chosen.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(
    r"(?:calls|body|condition|to_apply|true_computation|false_computation|"
    r"called_computations|branch_computations)=(\{[^}]*\}|%?[\w.\-]+)"
)
_OPERAND = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b(pred|token|[a-z]+\d+[a-z0-9]*)\[([\d,]*)\]")
_BITS = re.compile(r"\d+")
_NO_ESTIMATE = 2**63 - 1  # the largest number of 64 bits


class Instruction(NamedTuple):
    """A line of a computation."""

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]  # names
    attributes: str
    is_root: bool

    @property
    def cycles(self) -> int | None:
        """Cycles that the compiler expects, if it says so.

        It has no model of what a SparseCore costs, and writes `_NO_ESTIMATE` there.
        """
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        cycles = int(found.group(1)) if found else _NO_ESTIMATE
        return None if cycles == _NO_ESTIMATE else cycles

    @property
    def scope(self) -> str:
        """The function and the modules that it comes from: "jit(f)/box_head/add"."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found.group(1) if found else ""

    @property
    def called(self) -> tuple[str, ...]:
        """The computations that it calls, in the order of its attributes."""
        lists = _CALLED.findall(self.attributes)
        return tuple(
            name.strip(" %") for x in lists for name in x.strip("{}").split(",")
        )

    def named(self, attribute: str) -> str:
        """Returns a computation that an attribute names: `body`, `condition`."""
        found = re.search(rf"\b{attribute}=%?([\w.\-]+)", self.attributes)
        return found.group(1) if found else ""

    def numbers(self, attribute: str) -> tuple[int, ...]:
        """Returns the numbers of an attribute: `slice_sizes={1,64}`."""
        found = re.search(rf"\b{attribute}=\{{([\d,]*)\}}", self.attributes)
        return tuple(map(int, filter(None, found.group(1).split(",")))) if found else ()


Computation = Mapping[str, Instruction]
"""The instructions of a computation, by name and in their order."""


class Program(NamedTuple):
    """All computations of a program, each with its instructions by name."""

    computations: Mapping[str, Computation]
    entry: str


def read_program(text: str) -> Program:
    """Returns the program of a text: `compiled.as_text()`.

    Raises ValueError for a text without an entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = None, None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = computations.setdefault(head.group(2), {})
            entry = head.group(2) if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (name := _NAME.match(line)):
            read = _instruction(name.group(2), line[name.end() :], bool(name.group(1)))
            current[read.name] = read
    if entry is None:
        raise ValueError("the text has no ENTRY computation; is it a program's?")
    return Program(computations, entry)


def arrays(shape: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields types and dimensions of a shape, which may be a tuple's."""
    for kind, sides in _ARRAY.findall(shape):
        yield kind, tuple(map(int, filter(None, sides.split(","))))


def num_elements(shape: str) -> int:
    """Returns how many numbers the arrays of a shape have together."""
    return sum(math.prod(sides) for _, sides in arrays(shape))


def num_bytes(shape: str) -> int:
    """Returns the bytes of the arrays of a shape, without the padding of its layout."""
    return sum(math.prod(sides) * _bits(kind) for kind, sides in arrays(shape)) // 8


def _bits(kind: str) -> int:
    if kind == "token":
        return 0
    found = _BITS.search(kind)
    return int(found.group()) if found else 8  # pred


def _instruction(name: str, rest: str, is_root: bool) -> Instruction:
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    start = rest.index("(")
    end = _closing(rest, start)
    return Instruction(
        name=name,
        shape=shape,
        operation=rest[:start],
        operands=tuple(_OPERAND.findall(rest[start:end])) or (rest[start + 1 : end],),
        attributes=rest[end + 1 :],
        is_root=is_root,
    )


def _closing(text: str, start: int) -> int:
    """Returns the place of the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place
    raise ValueError(f"a bracket is not closed: {text[:80]!r}")
