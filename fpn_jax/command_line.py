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
from typing import Any
from unittest import mock

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructTypeInfo,
)

WRONG_INPUT = 2  # exit status


@contextlib.contextmanager
def user_errors(command: str) -> Iterator[None]:
    """Ends the process with one line and status 2 where the user gave wrong input.

    That is: a ValueError that this package raised, or a file that cannot be read or
    written. Anything else is an error of the program and keeps its traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"fpn-jax {command}: interrupted", file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and not _raised_here(error):
            raise
        message = " ".join(str(error).split())
        print(f"fpn-jax {command}: {message}", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from None


def _raised_here(error: Exception) -> bool:
    """Returns whether the last frame of the traceback is in this package."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return Path(frame.f_code.co_filename).is_relative_to(Path(__file__).parent)


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
    """Returns the first paragraph of tyro's box, and the first name it suggests."""
    lines = [line.strip("│ ") for line in box.splitlines()]
    lines = [line for line in lines if not line.startswith("╭") and line != "╰"]
    first = next((n for n, line in enumerate(lines) if set(line) == {"─"}), len(lines))
    message = " ".join(lines[:first])
    suggested = re.search(r"Perhaps you meant:\s*│?\s*│?\s*(--\S+)", "\n".join(lines))
    return f"{message}; nearest: {suggested[1]}" if suggested else message
