"""The commands on the pages have arguments and options that exist.

Each is given one option more, which does not exist. The command must refuse that one
and no other, which it does before any work.
"""

import importlib
import re
from pathlib import Path

import pytest

from fpn_jax.__main__ import COMMANDS
from tests.support.pages import PAGES, commands, write_files

UNKNOWN = "--no-such-option"

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
