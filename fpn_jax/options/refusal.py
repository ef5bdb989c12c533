"""Errors in the arguments of a command: tyro's box as one plain line."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from fpn_jax.options.declared import Offer, Option

_KINDS = {"N": "whole number", "NUMBER": "number"}


def refusal(box: str, offer: Callable[[], Offer], arguments: Sequence[str]) -> str:
    """Returns what tyro's box says, with the option, the value, and what is allowed.

    Args:
      box: what tyro printed.
      offer: gives what the command takes.
      arguments: the words of the user.
    """
    message, suggested = _read(box)
    if found := re.match(r"Unrecognized options: (.*)", message):
        return _unknown(found[1].split(", "), suggested)
    if found := re.match(r"Missing from [^:]*: (.*)", message):
        takes = [o for o in offer().options if not o.optional]
        missing = [o for o in takes if f" {o.names[0]} {o.text}" in f" {found[1]}"]
        if missing:
            return "; ".join(map(_missing, missing))
    if found := re.match(r"Missing value for argument '(\w+)'", message):
        places = [o for o in offer().options if o.positional and o.key == found[1]]
        if places:
            return _missing(places[0])
    name = re.search(r"(?<![\w-])--[\w.-]+", message)
    option = name and offer().option(name[0])
    if not name or not option:
        return message
    words = _values(name[0], arguments)
    given = repr(" ".join(words)) if words else "nothing"
    return f"{name[0]}: {given} given, must be {_allowed(option, words)}"


def _missing(option: Option) -> str:
    return f"{option.names[0].split()[0]} is missing ({option.text.rstrip('.')})"


def _read(box: str) -> tuple[str, list[str]]:
    """Returns the first paragraph of tyro's box, and the names it suggests.

    Where the terminal is no UTF-8, the box has rules of "-", and its title is a
    paragraph of its own.
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
    return message, re.findall(r"^--\w[\w.-]*", after, re.M)


def _unknown(words: Sequence[str], suggested: Sequence[str]) -> str:
    """Says what is no option, and the nearest of those that tyro suggests.

    Of several, those that end in the name that was given count alone: `--steps` is
    `--train.steps`.
    """
    given = [word.removeprefix("--") for word in words if word.startswith("--")]
    ends = tuple(f".{name}" for name in given)
    nearest = [name for name in suggested if name.endswith(ends)] or suggested
    names = [word for word in words if word.startswith("--")] or words
    said = f"no such option: {', '.join(names)}" if given else f"unexpected: {words[0]}"
    return f"{said}; nearest: {', '.join(nearest)}" if nearest else said


def _values(option: str, arguments: Sequence[str]) -> list[str]:
    """Returns the words that follow an option, up to the next one."""
    values, taking = [], False
    for word in arguments:
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            taking = name.replace("_", "-") == option
            if taking:  # the last one counts
                values = [value] if equals else []
        elif taking:
            values.append(word)
    return values


def _allowed(option: Option, words: Sequence[str]) -> str:
    """Returns the form of a value in words: "a whole number", "muon or sgd"."""
    if option.value.startswith("{"):
        names = option.value.strip("{} …").split(",")
        nearest = get_close_matches(" ".join(words), names, n=1)
        hint = f" (nearest: {nearest[0]})" if nearest else ""
        return f"{', '.join(names[:-1])} or {names[-1]}{hint}".removeprefix(" or ")
    return " or ".join(map(_kind, option.value.split("|")))


def _kind(value: str) -> str:
    kinds = [_KINDS.get(word, word) for word in value.split()]
    if kinds[-1] == "…":
        return f"{kinds[0]}s" if kinds[0] in _KINDS.values() else "words"
    if len(kinds) > 1 and set(kinds) <= {*_KINDS.values()}:
        return f"{len(kinds)} {kinds[0]}s"
    return f"a {kinds[0]}" if kinds[0] in _KINDS.values() else kinds[0]
