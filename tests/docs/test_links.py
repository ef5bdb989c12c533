"""Links between files of the repository lead somewhere, and placeholders agree."""

import re
import tomllib
from pathlib import Path

import pytest

import fpn_jax
from tests.support.pages import PAGES, ROOT, without_code

LINK = re.compile(r"\]\(([^()\s]+)\)")
HERE = [*PAGES, ROOT / "experiments" / "README.md"]


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    words = (re.sub(r"[^\w\- ]", "", heading).lower() for heading in headings)
    return {text.replace(" ", "-") for text in words}


def dead(page: Path, target: str) -> bool:
    """Whether a link of a page leads to no file, or to no heading of it."""
    place, _, anchor = target.partition("#")
    file = (page.parent / place).resolve() if place else page
    return not file.exists() or bool(anchor) and anchor not in anchors(file)


@pytest.mark.parametrize("page", HERE, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = [t for t in LINK.findall(without_code(page)) if "://" not in t]
    assert [target for target in targets if dead(page, target)] == []


def test_a_dead_link_would_be_seen():
    page = ROOT / "README.md"
    assert dead(page, "docs/no_such_page.md") and dead(page, "#no-such-heading")
    assert not dead(page, "docs/data.md#yolo") and not dead(page, "#models")


def test_files_that_pages_name_exist():
    pattern = r"`((?:fpn_jax|tests|experiments|docs)/[\w/]+\.\w+)`"
    named = {name for page in HERE for name in re.findall(pattern, page.read_text())}
    made = {"fpn_jax/heads/my_head.py"}  # which a reader writes
    assert named and not [n for n in named - made if not (ROOT / n).exists()]


def test_every_page_is_in_the_navigation():
    text = (ROOT / "docs" / "zensical.toml").read_text()
    elsewhere = {"results.md", "add_a_head.md"}
    assert set(re.findall(r'"(\w+\.md)"', text)) - elsewhere == {
        page.name for page in PAGES if page.parent.name == "docs"
    }


def test_the_address_of_the_repository_is_one_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    address = project["urls"]["Repository"]
    assert all(url.startswith(address) for url in project["urls"].values())
    assert f"git+{address}" in (ROOT / "README.md").read_text()
    assert f"{{{address}}}" in (ROOT / "docs" / "cite.md").read_text()


def test_no_page_installs_a_name_from_a_registry():
    for page in [*HERE, ROOT / "docs" / "zensical.toml"]:
        for words in re.findall(r"pip install ([^\n`]*)", page.read_text()):
            assert "fpn" not in words or "git+" in words


def test_the_version_is_one():
    text = (ROOT / "docs" / "changelog.md").read_text()
    assert f"## {fpn_jax.__version__}\n" in text
    assert f"{{{fpn_jax.__version__}}}" in (ROOT / "docs" / "cite.md").read_text()
