"""The table of Ultralytics' options on the page `runs.md` names options that exist."""

import re

import pytest

from fpn_jax.options.other_names import _ANSWERS
from tests.support.offers import offered
from tests.support.pages import ROOT

PAGE = (ROOT / "docs" / "runs.md").read_text()
SECTION = PAGE.partition("## Options of Ultralytics")[2].partition("\n## ")[0]
ROWS = [line.split("|")[1:4] for line in SECTION.splitlines() if line.startswith("| `")]
# Those that are options of the same name, or are answered by their value.
ALIKE = {"mosaic", "mixup", "copy_paste", "scale", "hsv_h", "hsv_s", "hsv_v"}
ALIKE |= {"epochs", "imgsz"}


@pytest.fixture(scope="module")
def options() -> set[str]:
    """The options of the commands that the table is of."""
    commands = ("train", "predict", "evaluate", "export")
    offers = [offered((command,), "--help-all")[0] for command in commands]
    return {
        name for offer in offers for option in offer.options for name in option.names
    }


def test_the_options_exist(options):
    named = {name for row in ROWS for name in re.findall(r"--[\w.-]+", row[1])}
    assert len(named) > 30 and named - options == set()


def test_the_names_are_answered():
    known = {name for answers in _ANSWERS.values() for name in answers}
    named = {name for row in ROWS for name in re.findall(r"\w+", row[0])}
    assert {name.replace("_", "-") for name in named - ALIKE} - known == set()
