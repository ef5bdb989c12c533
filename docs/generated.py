"""Tables of the site that come from the code, so that they cannot differ from it."""

import contextlib
import dataclasses
import importlib
import inspect
import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from unittest import mock

from fpn_jax.__main__ import COMMANDS
from fpn_jax.training import config
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.table import MODELS

_GROUPS = {
    "data": config.DataConfig,
    "optimizer": config.OptimizerConfig,
    "train": config.TrainConfig,
    "evaluation": config.EvaluationConfig,
}
_KINDS = {int: "whole number", float: "number", bool: "on or off", str: "text"}
_FIELD = re.compile(r"    (\w+): [^#=]*= (.*?)\s*(?:# (.*))?$")


def settings_lists() -> str:
    """Returns a list for each part of the configuration, with every field."""
    return "\n\n".join(_settings(name, part) for name, part in _GROUPS.items())


def _settings(name: str, part: type) -> str:
    hints = get_type_hints(part)
    fields = [
        f"- `--{name}.{field.replace('_', '-')}`: {text} *{_words(hints[field])}; "
        f"default {default}*"
        for field, default, text in fields_of(part)
    ]
    return "\n".join([f"## {name.capitalize()}", "", f"{part.__doc__}", "", *fields])


def _words(kind: Any) -> str:
    """Returns in words what values a type has; None is left out, being a default."""
    parts = [part for part in get_args(kind) if part not in (NoneType, Ellipsis)]
    if get_origin(kind) is Literal:
        return ", ".join(f"`{word}`" for word in parts)
    if get_origin(kind) is UnionType:
        return " or ".join(map(_words, parts))
    if get_origin(kind) is tuple:
        number = "any number of" if Ellipsis in get_args(kind) else f"{len(parts)} x"
        return f"{number} {_words(parts[0])}"
    return _KINDS[kind]


def fields_of(part: type) -> list[tuple[str, str, str]]:
    """Returns name, default and comment of every field of a dataclass."""
    found, above = [], []
    for line in inspect.getsource(part).splitlines():
        if comment := re.match(r"    # (.*)", line):
            above.append(comment[1])
            continue
        if field := _FIELD.match(line):
            name, default, beside = field.groups()
            text = beside or " ".join(above)
            found.append((name, f"`{default}`", text[:1].upper() + text[1:]))
        above = []
    names = [field.name for field in dataclasses.fields(part)]
    assert [name for name, *_ in found] == names, part
    return found


def published_tables() -> str:
    """Returns a table of the published detectors and one of the classifiers."""
    models = list(MODELS.values())
    return "\n\n".join(
        [
            "## Detectors by name\n",
            _published("published AP", (m for m in models if m.task != "classes")),
            "## Classifiers, as backbones to start from\n",
            _published("accuracy", (m for m in models if m.task == "classes")),
        ]
    )


def _published(figure: str, models: Iterable[PublishedModel]) -> str:
    rows = []
    for model in models:
        figures = ", ".join(f"{number:.1f}" for number in model.figures.values())
        size = "" if model.mebibytes is None else f"{model.mebibytes:.0f} MiB"
        sort = f"`{model.name}`", model.task, figures, size, model.license
        rows.append((*sort, model.inputs))
    return _table(("name", "finds", figure, "file", "license", "input"), rows)


def help_pages() -> str:
    """Returns what every command prints for --help-all, or else for --help."""
    return "\n\n".join(f"## {name}\n\n```text\n{_help(name)}\n```" for name in COMMANDS)


def _help(command: str) -> str:
    page = _said(command, "--help")
    return _said(command, "--help-all") if "--help-all" in page else page


def _said(command: str, option: str) -> str:
    said = io.StringIO()
    plain = mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1", JAX_PLATFORMS="cpu")
    main = importlib.import_module(f"fpn_jax.{command}").main
    with plain, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([option])
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings_lists,
    "published": published_tables,
    "help": help_pages,
}
"""What fills in a mark `<!-- generated: NAME -->`."""
