"""The cheap commands on the pages do what the pages say, in the order of a page."""

import importlib
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.support.formats import miniature, write_coco
from tests.support.pages import PAGES, commands
from tests.support.random_run import directory_of, picture, two_stage


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a run, photographs and a COCO data set."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(
        directory_of(two_stage(), tmp_path_factory), place / "runs/digits-1"
    )
    (place / "photos").mkdir()
    for seed in (0, 1):
        image = Image.fromarray(picture(60, 90, seed))
        image.save(place / "photos" / f"{seed}.jpg")
    for split in ("train", "validation"):
        write_coco(place / "coco" / split, miniature(3))
    return place


def run(page: str, *words: str) -> None:
    """Runs the command of a page that begins with these words."""
    (found,) = (page_ for page_ in PAGES if page_.name == page)
    command = next(c for c in commands(found) if c[: len(words)] == list(words))
    assert importlib.import_module(f"fpn_jax.{command[0]}").main(command[1:]) == 0


def test_models_are_listed_and_described(place, capsys):
    run("models.md", "models")
    assert "cascade_mask_rcnn_R_50_FPN_3x" in capsys.readouterr().out
    run("models.md", "models", "maskrcnn_resnet50_fpn")
    assert "bf2d0c1e" in capsys.readouterr().out


def test_a_folder_is_predicted(place, monkeypatch):
    monkeypatch.chdir(place)
    run("use.md", "predict", "runs/digits-1", "photos/")
    assert {file.name for file in Path("found").iterdir()} == {"0.png", "1.png"}
    assert isinstance(json.loads(Path("found.json").read_text()), list)


def test_a_data_set_is_prepared(place, monkeypatch):
    monkeypatch.chdir(place)
    run("data.md", "prepare")
    assert Path("prepared/dataset_info.json").exists()
