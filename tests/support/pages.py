"""The pages of the documentation as a test reads them: blocks of code and links."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(
    r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str  # name of the file that it is, or ""
    text: str


def blocks(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page in their order."""
    return [Block(*match) for match in _FENCE.findall(page.read_text())]


def commands(page: Path) -> list[list[str]]:
    """Returns the words of every `fpn-jax` command in the shell blocks of a page."""
    shell = [b.text for b in blocks(page) if b.language in ("sh", "bash")]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    found = []
    for line in words:
        if "fpn-jax" in line:
            found.append(line[line.index("fpn-jax") + 1 :])
        elif line[:2] == ["python", "-m"] and line[2].startswith("fpn_jax."):
            found.append([line[2].partition(".")[2], *line[3:]])
    return found


def without_code(page: Path) -> str:
    """Returns the text of a page without its blocks and its inline code."""
    return re.sub(r"`[^`\n]+`", "", _FENCE.sub("", page.read_text()))


def write_files(page: Path, place: Path) -> None:
    """Writes each block whose title is the name of a file into a folder."""
    for block in blocks(page):
        if re.search(r"\.\w+$", block.title):
            file = place / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)


def docs_module(name: str) -> ModuleType:
    """Returns a module of the folder `docs`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
