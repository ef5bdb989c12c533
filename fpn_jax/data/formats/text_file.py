"""Text files as people's tools write them: the one way in which readers take them."""

import codecs
from collections.abc import Iterator

from etils import epath

from fpn_jax.data.file_kind import pointer_problem

# PowerShell and Notepad write the second and third.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def read_text(path: epath.Path) -> str:
    """The text of a file, see `decoded_text`; ValueError also if it is unreadable."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    return decoded_text(data, str(path))


def decoded_text(data: bytes, where: str) -> str:
    """The text of a file, in UTF-8 or as its byte order mark says, with `\\n` alone.

    Args:
        data: the content of the file.
        where: its name, for the message.

    Raises:
        ValueError: if it is text of another encoding, or none at all, or only points
            to a file of Git LFS.
    """
    if problem := pointer_problem(data):
        raise ValueError(f"{where}: {problem}")
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    rest = data[len(mark) :]
    try:
        text = rest.decode(_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        line = 1 + rest[: error.start].count(b"\n")
        raise ValueError(
            f"{where}: line {line} is no UTF-8 text (byte 0x{rest[error.start]:02x}); "
            "it may be Latin-1, as older programs write: save it as UTF-8"
        ) from None
    if "\0" in text:
        line = 1 + text[: text.index("\0")].count("\n")
        raise ValueError(f"{where}: line {line} is no text, it has a zero byte")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not empty, without blanks around, and their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line := line.strip():
            yield number, line


def listed_names(text: str) -> Iterator[tuple[int, str]]:
    """Yields the names of files in a list, one a line, and the numbers of their lines.

    Quotes around a name are no part of it, and backslashes become slashes.
    """
    for number, line in numbered_lines(text):
        if len(line) > 2 and line[0] == line[-1] and line[0] in "\"'":
            line = line[1:-1]
        if name := slashed(line):
            yield number, name


def slashed(name: str) -> str:
    """A path with slashes where Windows writes backslashes, without `./` before it."""
    name = name.strip().replace("\\", "/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name
