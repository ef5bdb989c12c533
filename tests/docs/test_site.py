"""The built site: its search finds what people look for, and dead links are seen.

CI builds the site and names it by FPN_JAX_SITE; elsewhere it is built here where the
tools of the extra `docs` are installed.
"""

import html
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import ROOT, docs_module

# Words, and the page that must be among those they are found on.
SEARCHES = {
    "own backbone": "own_modules/",
    "EXIF": "data/",
    "out of memory": "fine_tuning/",
    "resume": "failures/",
    "ONNX": "use/",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the site."""
    if built := os.environ.get("FPN_JAX_SITE"):
        return Path(built)
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("the extra docs is not installed")
    out = tmp_path_factory.mktemp("documentation")
    command = [sys.executable, "docs/build.py", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "site"


def texts(site: Path) -> dict[str, str]:
    """Returns the words of each page in the index of the search."""
    found: dict[str, str] = {}
    for item in json.loads((site / "search.json").read_text())["items"]:
        page = item["location"].partition("#")[0]
        text = re.sub(r"<[^>]+>", " ", item["text"])
        found[page] = f"{found.get(page, '')} {item['title']} {html.unescape(text)}"
    return found


@pytest.mark.parametrize("words", SEARCHES)
def test_the_search_finds(words, site):
    pages = [
        page for page, text in texts(site).items() if words.lower() in text.lower()
    ]
    assert SEARCHES[words] in pages


def test_the_site_has_the_tables_of_the_code(site):
    pages = texts(site)
    assert "--train.reference-batch-size" in pages["configuration/"]
    assert "cascade_mask_rcnn_R_50_FPN_3x" in pages["models/"]
    assert "usage: fpn-jax preflight" in pages["commands/"]
    assert "pairwise_iou" in pages["api/"]


def test_no_link_is_dead(site):
    assert docs_module("dead_links").dead_links(site) == []


def test_nothing_is_asked_of_other_hosts(site):
    source = r'<(?:script|img|iframe)[^>]+src="https?:[^"]+"'
    asked = source + r'|<link[^>]+rel="stylesheet"[^>]+href="https?:[^"]+"'
    for page in site.rglob("*.html"):
        assert re.findall(asked, page.read_text()) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h2 id="here">A</h2>')
    (tmp_path / "index.html").write_text(
        '<a href="a/">1</a><a href="a/#here">2</a><a href="https://host/">3</a>'
        '<a href="b/">4</a><a href="a/#there">5</a><img src="c.png">'
    )
    dead = docs_module("dead_links").dead_links(tmp_path)
    assert dead == ["index.html: b/", "index.html: a/#there", "index.html: c.png"]
