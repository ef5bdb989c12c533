"""The options of a command, as tyro reads them: names, values and texts."""

import argparse
import dataclasses
import re
import warnings
from collections.abc import Sequence
from typing import Any

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructTypeInfo,
)

# Types in the words of a help page.
_KINDS = {"INT": "N", "FLOAT": "NUMBER", "STR": "TEXT"}
# A tuple of tuples has an option for each of its rows: --model.rpn.anchor-sizes.0.
_ROW = re.compile(r"\.\d+$")


@dataclasses.dataclass(frozen=True)
class Option:
    """An option or an argument without a name, as a help page shows it."""

    # The spellings: "--out", or "--pictures" and "--no-pictures"; "RUN" of an argument.
    names: tuple[str, ...]
    # The form of what follows the name: "N", "PATH", "{sgd,adamw}"; "" of a switch.
    value: str
    text: str
    default: str  # "" where there is none to tell
    group: str  # "data" of --data.source; "" of an option without a dot
    key: (
        str  # the name as settings have it: "data.batch_size"; the field of an argument
    )
    # Whether it has no name on the command line, and whether it may be left out.
    positional: bool = False
    optional: bool = True


@dataclasses.dataclass(frozen=True)
class Offer:
    """All that a command takes, and a sentence for each group of options."""

    options: tuple[Option, ...]
    groups: dict[str, str]

    def option(self, name: str) -> Option | None:
        """Returns the option of one of its spellings, or None."""
        return next((o for o in self.options if name in o.names), None)


def declared(kind: Any, **options: Any) -> Offer:
    """Returns what `tyro.cli` takes from the command line for a dataclass.

    `options` go to `tyro.cli`: a default, markers.
    """
    with warnings.catch_warnings(), fixed_functions():
        # Deprecated as a means of completion. Nothing else public lists the options.
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(kind, **options)
    found, groups = [], {}
    for group in parser._action_groups:
        title = (group.title or "").removesuffix("options").strip()
        path = "" if title == "positional arguments" else title
        # The first paragraph of a docstring is enough.
        text = " ".join((group.description or "").split("\n\n")[0].split())
        groups[path] = text or _place_in_a_tuple(path)
        for action in group._group_actions:
            if action.dest != "help":
                found.append(_option(action, path))
    return Offer(tuple(_rows_together(found, groups)), groups)


def fixed_functions() -> ConstructorRegistry:
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


def _place_in_a_tuple(path: str) -> str:
    """Says which part of a tuple a group is, for which tyro has no text."""
    whole, _, number = path.rpartition(".")
    if not number.isdecimal():
        return ""
    return f"Part {number} of {whole}, counted from 0."


def _option(action: argparse.Action, group: str) -> Option:
    text, default = _without_default(action.help or "")
    names = tuple(name for name in action.option_strings if name.startswith("--"))
    value = _value(str(action.metavar or ""), default)
    if action.nargs == 0:  # a switch
        names = names if default == "True" else names[:1]
        value, default = "", ""
    elif default in ("None", "''"):
        default = ""
    if names:
        return Option(names, value, text, default, group, _key(names[0]))
    return Option(
        (value.strip("[]"),),
        value="",
        text=text,
        default="",
        group=group,
        key=action.dest,
        positional=True,
        optional=value.startswith("["),
    )


def _without_default(text: str) -> tuple[str, str]:
    """Returns the words of a help text, and the default that tyro adds to them."""
    found = re.fullmatch(r"(.*?)\s*\((?:default: (.*)|required)\)", text, re.DOTALL)
    if found is None:
        return " ".join(text.split()), ""
    default = " ".join(map(_short, (found[2] or "").split(" ")))
    return " ".join(found[1].split()), default


def _short(word: str) -> str:
    """Returns a number with at most four digits behind the point; words as they are."""
    return f"{float(word):.4f}" if re.fullmatch(r"\d+\.\d{5,}", word) else word


def _value(metavar: str, default: str) -> str:
    """Returns the form of a value: `{None}|FLOAT` is NUMBER, `[INT [INT ...]]` N ….

    None is told as a choice alone, where it is not the default.
    """
    metavar = re.sub(r"\[(.+?) \[\1 \.\.\.\]\]", r"\1 …", metavar)
    if metavar.startswith("{None}|"):
        metavar = metavar.removeprefix("{None}|")
        metavar = metavar.removeprefix("{").removesuffix("}")
    if default == "None":
        metavar = metavar.replace("{None,", "{")
    return " ".join(_kind(word) for word in metavar.split())


def _kind(word: str) -> str:
    kinds = [_KINDS.get(part, part) for part in word.split("|")]
    if {"N", "NUMBER"} <= {*kinds}:
        kinds.remove("N")
    if len(kinds) > 1:
        kinds = [kind.strip("{}") for kind in kinds]
    return "|".join(kinds)


def _rows_together(options: Sequence[Option], groups: dict[str, str]) -> list[Option]:
    """Returns the options with one in the place of the rows of a tuple of tuples.

    Its text is the description of tyro's group.
    """
    together: dict[str, list[Option]] = {}
    for option in options:
        together.setdefault(_ROW.sub("", option.names[0]), []).append(option)
    found = []
    for name, rows in together.items():
        first = rows[0]
        if name == first.names[0]:
            found += rows
            continue
        group = name.removeprefix("--").rpartition(".")[0]
        names = tuple(row.names[0] for row in rows)
        default = "; ".join(row.default for row in rows)
        key, text = _key(name), groups[first.group]
        found.append(Option(names, first.value, text, default, group, key))
    return found


def _key(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")
