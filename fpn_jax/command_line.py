"""Typed arguments of all commands, and errors of the user as one line.

Where only the core dependencies are installed, importing this module ends the process
with a line and status 2: `python -m fpn_jax.train` does nothing before.
"""

import contextlib
import inspect
import io
import os
import re
import signal
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

try:
    import tyro
    from tyro.conf import Positional as Positional
    from tyro.conf import arg as arg
except ModuleNotFoundError as error:
    line = f"commands need the package {error.name!r}: pip install 'fpn-jax[train]'"
    print(f"fpn-jax: {line}", file=sys.stderr)
    raise SystemExit(2) from None

from fpn_jax.compilation import refused_bytes
from fpn_jax.options.declared import declared, fixed_functions
from fpn_jax.options.other_names import check_other_names
from fpn_jax.options.page import HELP, HELP_ALL, help_page
from fpn_jax.options.refusal import refusal

WRONG_INPUT = 2  # exit status

_PACKAGE = Path(__file__).parent
# Rooms whose numbers come from a data set.
_DATA_ROOMS = {"data", "examination", "evaluation"}
# Modules whose errors mean that a file is not of the kind that its name tells.
_PARSERS = {
    *("json", "yaml", "xml", "csv", "_csv"),
    *("zipfile", "gzip", "tarfile", "lzma", "_lzma", "zlib", "PIL"),
}
_ANY_LESS = "smaller images or batches need less"
_LESS_MEMORY = {
    "train": (
        "a smaller --data.batch-size (with --optimizer.accumulate for the same images "
        "of an update), a smaller --data.canvas, --model.backbone.dtype bfloat16 or, "
        "for ResNet and VGG, --model.backbone.remat need less; a run that has begun "
        "keeps its batch size and model: start another by --train.pretrained RUN"
    ),
    "evaluate": "--dtype bfloat16 needs less, and a run with a smaller canvas",
    "predict": "a smaller --batch-size needs less, and so do smaller images",
}
# Fields that cannot be set are not shown, and fields of optional heads are options like
# others, not subcommands.
_FORMS = (
    tyro.conf.SuppressFixed,
    tyro.conf.AvoidSubcommands,
    tyro.conf.PositionalMetavarFromFieldName,
)
_REPORT = (
    "fpn-jax {command}: this was not expected. Where the error is not raised by a "
    "module of your own, please report it, with the command and the lines above."
)
_OWN = "fpn-jax {command}: raised by a module of your own, in {place}"


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
            place = _own_place(error)
            note = _REPORT if place is None else _OWN
            error.add_note(note.format(command=command, place=place))
            raise
        print(f"fpn-jax {command}: {line}", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from None


def _own_place(error: Exception) -> str | None:
    """Returns the file and line of an error that a module of the user's own raised.

    What it called in other packages is passed over. None where this package is below.
    """
    # Resolved: a link to a checkout must not make its modules the user's.
    ours, library = _PACKAGE.resolve(), Path(os.__file__).resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename).resolve()
        if file.is_relative_to(ours):
            return None
        installed = {"site-packages", "dist-packages"} & set(file.parts)
        if file.is_file() and not installed and not file.is_relative_to(library):
            return f"{frame.filename}, line {frame.lineno}"
    return None


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
            f"data: a number is too large: {said}; `fpn-jax doctor DATASET` "
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
    if place != path and not place.is_dir():
        raise ValueError(f"{option}: {str(place)!r} is a file, must be a directory")
    if not os.access(place, os.W_OK):
        raise ValueError(f"{option}: {str(place)!r} cannot be written to")


def needs_less_memory(error: Exception) -> bool:
    """Whether an error is that the memory of the machine or of a device is used up."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True  # the latter is torch's
    if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
        return False
    return re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.I) is not None


def _memory_asked(error: Exception) -> str:
    """Says how much memory the step asked for, where the error has the number."""
    said = str(error)
    if _raised_here(error):
        return f"out of memory: {said}"
    if (refused := refused_bytes(error)) and refused[1]:
        needed, there = (number / 1e9 for number in refused)
        return f"out of memory: {needed:.2f} GB are needed, there are {there:.2f} GB"
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


def parse(
    kind: Any,
    arguments: Sequence[str],
    *,
    command: str,
    description: str | None = None,
    common: Mapping[str, Sequence[str]] = types.MappingProxyType({}),
    **options: Any,
) -> Any:
    """Returns an instance of the dataclass `kind` from the command line.

    `--help` prints a page and ends the process, with status 0. Wrong arguments are a
    ValueError of one line, with the nearest name.

    Args:
      kind: a dataclass; the comments of its fields are the help of its options.
      arguments: the words of the user.
      command: its name.
      description: the text of the help page before the options; by default the
        docstring of the dataclass.
      common: by headings, the options that `--help` shows, all others being left to
        `--help-all`; see `help_page`. By default all.
      options: others of `tyro.cli`, as a default.
    """
    options["config"] = _FORMS
    asked = {*HELP, HELP_ALL} & set(arguments)
    if asked:
        page = help_page(
            declared(kind, **options),
            command=command,
            description=inspect.cleandoc(description or kind.__doc__),
            common=common,
            everything=HELP_ALL in asked,
        )
        _print(page)
        raise SystemExit(0)
    check_other_names(command, arguments)
    said = io.StringIO()
    wide = mock.patch.dict(os.environ, COLUMNS="1000")  # no line is broken
    try:
        with wide, contextlib.redirect_stderr(said), fixed_functions():
            return tyro.cli(kind, args=arguments, prog=f"fpn-jax {command}", **options)
    except SystemExit as stop:
        if stop.code != WRONG_INPUT:
            raise
        line = refusal(said.getvalue(), partial(declared, kind, **options), arguments)
        raise ValueError(line) from None


def _print(page: str) -> None:
    """Prints a page also where the terminal lacks some of its characters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(page.encode(encoding, "replace").decode(encoding))
