"""Builds the documentation site, strictly: python docs/build.py [OUT]

The pages of this folder and two pages of other folders are gathered in OUT/pages, where
their links lead to each other, and the tables that come from the code are filled in.
Zensical makes OUT/site of them. Any warning, and any dead link in what it has made, is
an error. OUT is build/documentation by default.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from dead_links import dead_links
from generated import TABLES
from repository_links import Links

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# Pages that lie beside what they are about.
ELSEWHERE = {
    ROOT / "experiments" / "README.md": "results.md",
    ROOT / "fpn_jax" / "heads" / "README.md": "add_a_head.md",
}
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.M)


def main(out: Path) -> int:
    """Builds the site and returns the exit status: 0 done, 1 a warning, a dead link."""
    shutil.rmtree(out, ignore_errors=True)
    gather(out / "pages", repository_address())
    (out / "zensical.toml").write_text(settings())
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run([*command, "-f", "zensical.toml"], cwd=out).returncode:
        return 1
    dead = dead_links(out / "site")
    print("\n".join(dead) or f"no dead link; the site is {out / 'site'}")
    return 1 if dead else 0


def gather(pages: Path, address: str | None) -> None:
    """Writes every page into one folder, with the files that it shows."""
    names = {page: page.name for page in DOCS.glob("*.md")} | ELSEWHERE
    links = Links(ROOT, names, address)
    pages.mkdir(parents=True)
    shutil.copy(DOCS / "style.css", pages)
    for page, name in names.items():
        text = links.rewritten(page, filled_in(page.read_text()))
        (pages / name).write_text(text)
    for figure in links.figures:
        (pages / "figures").mkdir(exist_ok=True)
        shutil.copy(figure, pages / "figures")


def filled_in(text: str) -> str:
    """Returns the text of a page with the tables that its marks name."""
    return _MARK.sub(lambda mark: TABLES[mark[1]](), text)


def settings() -> str:
    """Returns the settings of this build."""
    python = "[project.plugins.mkdocstrings.handlers.python]"
    lines = [(DOCS / "zensical.toml").read_text(), python, f'paths = ["{ROOT}"]']
    return "\n".join(lines) + "\n"


def repository_address() -> str | None:
    """Returns the address in pyproject.toml; None while it is a placeholder."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    address = project["urls"]["Repository"]
    return None if "/OWNER/" in address else address


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "documentation"
    sys.exit(main(out.resolve()))
