"""The help page of a command: what it does, what it takes, how it is called."""

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from fpn_jax.options.declared import Offer, Option

HELP = frozenset(("-h", "--help"))
HELP_ALL = "--help-all"
_TEXT = 30  # column of the texts
_WIDEST = 100  # columns of a line that is still read with ease


def help_page(
    offer: Offer,
    *,
    command: str,
    description: str,
    common: Mapping[str, Sequence[str]],
    everything: bool,
    width: int | None = None,
) -> str:
    """Returns the page of a command, at most `width` columns wide.

    Args:
      offer: what the command takes.
      command: its name.
      description: paragraphs; the lines of indented ones are kept.
      common: by headings, the names of the options that most people need, as settings
        have them. Where there are none, all options are common.
      everything: all options by groups, instead of the common ones.
      width: the terminal's by default.
    """
    width = min(width or shutil.get_terminal_size().columns, _WIDEST)
    places = [
        f"[{o.names[0]}]" if o.optional else o.names[0]
        for o in offer.options
        if o.positional
    ]
    usage = " ".join(["usage: fpn-jax", command, *places, "[OPTION VALUE …]"])
    lines = [usage, "", *_paragraphs(description, width)]
    if common and not everything:
        named = {option.key: option for option in offer.options}
        for heading, keys in common.items():
            lines += _section(heading, [named[k] for k in keys if k in named], width)
        rest = sum(not o.positional for o in offer.options)
        lines += ["", f"All {rest} options: fpn-jax {command} {HELP_ALL}"]
        return "\n".join(lines)
    lines += _section("Arguments", [o for o in offer.options if o.positional], width)
    for group in dict.fromkeys(o.group for o in offer.options):
        heading = f"{group}: {offer.groups[group]}" if group else "Options"
        rows = [o for o in offer.options if o.group == group and not o.positional]
        lines += _section(heading, rows, width)
    return "\n".join(lines)


def _paragraphs(text: str, width: int) -> Iterable[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith(" "):
            yield from paragraph.splitlines()
        else:
            yield from _wrapped(paragraph, width)


def _section(heading: str, options: Sequence[Option], width: int) -> Iterable[str]:
    """Yields a heading and the options below it; nothing where there are none."""
    if not options:
        return
    yield ""
    yield from _wrapped(heading if heading.endswith(".") else f"{heading}:", width)
    for option in options:
        name = f"  {_spelled(option)}"
        texts = _wrapped(_text(option), width - _TEXT)
        if len(name) < _TEXT:
            yield f"{name:<{_TEXT}}{texts[0] if texts else ''}".rstrip()
            texts = texts[1:]
        else:
            yield name
        yield from (" " * _TEXT + line for line in texts)


def _spelled(option: Option) -> str:
    """Returns the name and the form of the value: `--out PATH`, `--[no-]pictures`."""
    first, *others = option.names
    if len(others) == 1 and not option.value:
        place = first.rpartition(".")[0]
        last = first.removeprefix(f"{place}.").removeprefix("--")
        return f"{place}.[no-]{last}" if place else f"--[no-]{last}"
    if others:
        first = f"{first} … {others[-1].rpartition('.')[2]}"
    return f"{first} {option.value}".rstrip()


def _text(option: Option) -> str:
    return (
        f"{option.text} (default: {option.default})" if option.default else option.text
    )


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), width, break_on_hyphens=False, break_long_words=False
    )
