"""What all commands share: typed arguments, and errors of the user as one line."""

import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructTypeInfo,
)

WRONG_INPUT = 2  # exit status

_PACKAGE = Path(__file__).parent
# Where numbers are those of a data set.
_DATA_ROOMS = {"data", "examination", "evaluation"}
# Modules whose errors mean that a file is not what its name says.
_PARSERS = {
    *("json", "yaml", "xml", "csv", "_csv"),
    *("zipfile", "gzip", "tarfile", "lzma", "_lzma", "zlib", "PIL"),
}
_ANY_LESS = "smaller images or batches need less"
_LESS_MEMORY = {
    "train": (
        "a smaller --data.batch-size (with --optimizer.accumulate for the same images "
        "of an update), a smaller --data.canvas, --model.backbone.dtype bfloat16 or "
        "--model.backbone.remat need less"
    ),
    "evaluate": "--dtype bfloat16 needs less, and a run with a smaller canvas",
    "predict": "a smaller --batch-size needs less, and so do smaller images",
}
_REPORT = (
    "fpn-jax {command}: this was not expected. Where the error is not raised by a "
    "module of your own, please report it, with the command and the lines above."
)


@contextlib.contextmanager
def user_errors(command: str) -> Iterator[None]:
    """Ends the process with one line and status 2 where the user gave wrong input.

    `line_of` decides which errors these are. All others keep their traceback, below
    which a note asks for a report.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"fpn-jax {command}: interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        line = line_of(error, command)
        if line is None:
            error.add_note(_REPORT.format(command=command))
            raise
        print(f"fpn-jax {command}: {line}", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from None


def line_of(error: Exception, command: str = "") -> str | None:
    """Returns the line for an error that the user can mend; None for any other.

    The user can mend: a ValueError of this package; a file that cannot be read or
    written, or that a parser of the standard library refuses; a number of the data that
    no array holds; too little memory. Everything else is an error of the program.
    """
    if needs_less_memory(error):
        return f"{_memory_asked(error)}; {_LESS_MEMORY.get(command, _ANY_LESS)}"
    said = " ".join(str(error).split())
    if isinstance(error, UnicodeDecodeError):
        return (
            f"{_read_file(error)} is no UTF-8 text: {said}; it may be Latin-1, save it "
            "as UTF-8"
        )
    if isinstance(error, OSError):
        return said or type(error).__name__
    if _of_parser(error):
        return f"a file cannot be read: {type(error).__name__}: {said}"
    if isinstance(error, OverflowError) and _deepest_room(error) in _DATA_ROOMS:
        return (
            f"data: a number is too large: {said}; `python -m fpn_jax.doctor DATASET` "
            "says where it is"
        )
    if isinstance(error, ValueError) and _raised_here(error):
        return said
    return None


def check_output(option: str, file: Path | None) -> None:
    """Raises ValueError where a file could not be written after the work."""
    if file is not None and not file.parent.is_dir():
        raise ValueError(f"{option}: no directory {str(file.parent)!r}")
    if file is not None and file.is_dir():
        raise ValueError(f"{option}: {str(file)!r} is a directory, must be a file")
    if file is not None:
        check_writable(option, file)


def check_writable(option: str, path: Path) -> None:
    """Raises ValueError where a file could not be written, or a directory not made."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK):
        raise ValueError(f"{option}: {str(place)!r} cannot be written to")


def needs_less_memory(error: Exception) -> bool:
    """Whether an error is that the memory of the machine or of a device is used up."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
        return False
    return re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.I) is not None


def _memory_asked(error: Exception) -> str:
    """Says how much memory the step asked for, where the error has the number."""
    said = str(error)
    if _raised_here(error):
        return f"out of memory: {said}"
    if found := re.search(r"allocat\w*\s+([\d.]+) ?([KMGTPE]i?B)", said):
        return f"out of memory: {found[1]} {found[2]} more were needed"
    if found := re.search(r"allocat\w*\s+(\d+) bytes", said):
        return f"out of memory: {int(found[1]) / 1e9:.2f} GB more were needed"
    return "out of memory"


def _of_parser(error: Exception) -> bool:
    """Whether a parser of files raised an error, or the error is of its kind."""
    raising = (
        "" if (frame := _last_frame(error)) is None else frame.f_globals["__name__"]
    )
    modules = {type(error).__module__, raising}
    return any(module.partition(".")[0] in _PARSERS for module in modules)


def _read_file(error: Exception) -> str:
    """Returns the name of the file that was read when an error came."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if isinstance(path := frame.f_locals.get("self"), Path):
            return repr(str(path))
    return "a file"


def _deepest_room(error: Exception) -> str:
    """Returns the room of the last frame of a traceback that is in this package."""
    rooms = [""]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(_PACKAGE):
            rooms.append(file.relative_to(_PACKAGE).parts[0])
    return rooms[-1]


def _raised_here(error: Exception) -> bool:
    """Returns whether the last frame of the traceback is in this package."""
    frame = _last_frame(error)
    return frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE)


def _last_frame(error: Exception) -> FrameType | None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1] if frames else None


def parse(kind: Any, arguments: Sequence[str], *, command: str, **options):
    """Returns an instance of the dataclass `kind` from the command line.

    Help is tyro's; what it says of wrong arguments in a box becomes a ValueError of one
    line, with the nearest name.
    """
    said = io.StringIO()
    wide = mock.patch.dict(os.environ, COLUMNS="1000")  # no line is broken
    told = contextlib.redirect_stderr(said)
    try:
        if {"-h", "--help"} & set(arguments):
            wide = told = contextlib.nullcontext()
        with wide, told, _functions_as_they_are():
            return tyro.cli(kind, args=arguments, prog=f"fpn-jax {command}", **options)
    except SystemExit as stop:
        if stop.code != WRONG_INPUT:
            raise
        raise ValueError(_one_line(said.getvalue())) from None


def _functions_as_they_are() -> ConstructorRegistry:
    """Returns the rule that a field whose default is a function is no option.

    tyro would look for options in its attributes, where it is an object of JAX's.
    """

    def rule(field: StructTypeInfo) -> StructConstructorSpec | None:
        value = field.default
        if not callable(value) or isinstance(value, type):
            return None
        if dataclasses.is_dataclass(value):  # a module
            return None
        return StructConstructorSpec(instantiate=lambda: value, fields=())

    registry = ConstructorRegistry()
    registry.struct_rule(rule)
    return registry


def _one_line(box: str) -> str:
    """Returns the first paragraph of tyro's box, and the names it suggests.

    Of several names, those that end in the one that was given count alone: `--steps` is
    `--train.steps`. Where the terminal is no UTF-8, the box has rules of "-", and its
    title is a paragraph of its own.
    """
    lines = [line.strip("│ ") for line in box.splitlines()]
    lines = [line for line in lines if line and line[0] not in "╭╰"]
    paragraphs = [""]
    for line in lines:
        if set(line) <= {"─", "-"}:
            paragraphs.append("")
        else:
            paragraphs[-1] += f"{line} "
    message = re.sub(r"\[/?bold\]", "", paragraphs["╭" not in box]).strip()
    after = "\n".join(lines).partition("Perhaps you meant:")[2]
    suggested = re.findall(r"^--\w[\w.-]*", after, re.M)
    given = re.findall(r"--([\w.-]+)", message)
    ends = tuple(f".{name}" for name in given)
    nearest = [name for name in suggested if name.endswith(ends)] or suggested
    return f"{message}; nearest: {', '.join(nearest)}" if nearest else message
