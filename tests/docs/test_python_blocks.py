"""The Python on the pages runs as it stands there."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpn_jax.inference import load
from tests.support.pages import PAGES, ROOT, blocks
from tests.support.real import real

# These load a published model by its name, and run where its weights are.
BY_NAME = ("README.md", "index.md", "quick_start.md")
# tests/artifacts runs the readers of exported files, tests/serving the client.
ELSEWHERE = ("use.md", "serving.md")


def python_of(name: str) -> list[str]:
    """Returns the code of a page, whether or not it is the file of a user."""
    (page,) = (page for page in PAGES if page.name == name)
    return [block.text for block in blocks(page) if block.language == "python"]


def test_every_page_with_python_is_run_by_a_test():
    having = {page.name for page in PAGES if python_of(page.name)}
    run = {*BY_NAME, *ELSEWHERE, "own_loop.md", "architecture.md"}
    # Their files are run by test_experiments.py.
    assert having == run | {"fine_tuning.md", "own_modules.md"}


@pytest.fixture
def photographs(tmp_path, monkeypatch) -> Path:
    """A working directory with the weights of YOLOX-nano and a photograph."""
    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(real("yolox_nano_coco.pth"), weights / "yolox_nano.pth")
    monkeypatch.setenv("FPN_JAX_WEIGHTS", str(weights))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photograph = real("coco/val2017") / "000000397133.jpg"
    shutil.copy(photograph, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.real
def test_a_published_model_finds_something(photographs, capsys):
    (code,) = python_of("README.md")
    names: dict = {}
    exec(code, names)
    assert len(names["result"]) > 0
    assert Image.open(photographs / "found.jpg").size == (640, 427)
    assert capsys.readouterr().out.startswith("Result(photo.jpg, 640 x 427: ")


def test_the_first_pages_say_what_the_readme_says():
    (readme,) = python_of("README.md")
    for name in BY_NAME[1:]:
        (code,) = python_of(name)
        assert all(line in readme for line in code.splitlines())


def test_a_loop_of_ones_own_learns_and_detects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in python_of("own_loop.md"):
        if "fpn_jax.load" not in code:
            exec(code, names)
    first, last = names["losses"][0], names["losses"][-1]
    assert math.isfinite(last) and last < 0.5 * first
    assert names["found"].boxes.shape == (2, 100, 4)
    image = np.asarray(names["images"][0], np.uint8)
    again = load("runs/mine")(image)
    np.testing.assert_array_equal(again.boxes, names["result"].boxes)
    assert len(again) > 0 and {*again.class_names} <= {"bus", "car", "person"}
    frozen = names["frozen"]
    assert all(frozen["stem"]["conv"].values())
    assert not any(frozen["stage3"]["block1"]["conv1"].values())


def test_the_loop_takes_25_lines():
    (loop,) = (code for code in python_of("own_loop.md") if "def step" in code)
    assert len([line for line in loop.splitlines() if line.strip()]) <= 25


@pytest.mark.real
def test_published_weights_go_into_a_loop_of_ones_own(photographs):
    (code,) = (code for code in python_of("own_loop.md") if "fpn_jax.load" in code)
    names: dict = {}
    exec(code, names)
    assert names["model"].num_classes == 80 and "params" in names["variables"]


def test_the_model_of_the_architecture_is_a_faster_rcnn():
    names: dict = {}
    exec(python_of("architecture.md")[0], names)
    assert names["model"].num_classes == 80


@pytest.mark.real
def test_the_first_lines_of_use_show_a_result(photographs):
    exec(python_of("use.md")[0], {})
    assert Image.open("cups.png").size == (640, 427)


@pytest.mark.real
def test_people_are_counted(photographs, capsys):
    (photographs / "photos").mkdir()
    shutil.copy("photo.jpg", "photos/kitchen.jpg")
    (code,) = (code for code in python_of("use.md") if "each(" in code)
    exec(code, {})
    name, count = capsys.readouterr().out.split()
    assert name == "photos/kitchen.jpg" and int(count) > 0


def test_the_readme_fits_a_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
