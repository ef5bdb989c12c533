"""The commands on the pages have arguments and options that exist.

Each is given one option more, which does not exist. The command must refuse that one
and no other, which it does before any work.
"""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from fpn_jax.__main__ import COMMANDS
from tests.support.pages import PAGES, blocks, write_files

UNKNOWN = "--no-such-option"


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


CASES = [(page, words) for page in PAGES for words in commands(page)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the files that the pages show."""
    place = tmp_path_factory.mktemp("place")
    for page in PAGES:
        write_files(page, place)
    recipe = place / "experiments"
    recipe.symlink_to(PAGES[0].parent / "experiments")
    return place


@pytest.mark.parametrize(
    ("page", "words"), CASES, ids=[f"{p.stem}: {' '.join(w)}" for p, w in CASES]
)
def test_the_options_of_a_command_exist(page, words, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    command, *arguments = words
    assert command in COMMANDS
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"fpn_jax.{command}").main([*arguments, UNKNOWN])
    assert stop.value.code == 2
    assert re.findall(r"--[\w.-]+", capsys.readouterr().err) == [UNKNOWN]


def test_a_wrong_option_on_a_page_would_be_seen(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    from fpn_jax import predict

    with pytest.raises(SystemExit):
        predict.main(["yolox_nano", "a.jpg", "--oot", "found", UNKNOWN])
    assert "--oot" in capsys.readouterr().err


def test_the_pages_show_every_command():
    shown = {words[0] for _, words in CASES}
    assert shown == set(COMMANDS)
