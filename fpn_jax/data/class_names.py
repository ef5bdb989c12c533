"""The rule for names of classes, in whatever form a data set is stored.

A name is text of one line and is no other class's. Blanks at its ends are not part of
it.
"""

from collections.abc import Collection, Sequence


def name_problem(name: object, others: Collection[str] = ()) -> str | None:
    """Says why a class cannot have this name beside `others`, or None."""
    if not isinstance(name, str):
        return f"name is {name!r:.60}, must be text"
    if not name.strip():
        return f"name {name!r:.60} is empty"
    if len(name.strip().splitlines()) > 1:
        return f"name {name!r:.60} has a line break"
    if not is_writable(name):
        return f"name {name!r:.60} has characters that no file can hold"
    if name.strip() in others:
        return f"name {name.strip()!r:.60} is another class's too"
    return None


def check_class_names(where: str, names: Sequence[object]) -> tuple[str, ...]:
    """The names without blanks at their ends; ValueError for the first wrong one.

    Args:
        where: the place of the names, for the message.
        names: in the order of their classes.
    """
    stripped = {}  # in their order
    for number, name in enumerate(names, start=1):
        if problem := name_problem(name, stripped):
            raise ValueError(f"{where}: class {number}: {problem}")
        stripped[str(name).strip()] = number
    return tuple(stripped)


def is_writable(text: str) -> bool:
    """Whether a text is Unicode that files and terminals take, without a zero byte."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)
