"""The experiments on the pages build a run, and the one of one's own modules trains."""

from pathlib import Path

import pytest

from fpn_jax import evaluate, train
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.detectors.check import check_model
from fpn_jax.detectors.contract import facts
from fpn_jax.training.config import check_config
from fpn_jax.training.experiment import load_experiment
from tests.support.pages import ROOT, blocks, write_files

PAGES = [ROOT / "docs" / name for name in ("fine_tuning.md", "own_modules.md")]
EXPERIMENTS = {  # with classes
    "my_experiment.py": 3,
    "my.py": 10,
    "my_cells.py": 3,
    "my_other.py": 10,
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with the files of the pages, as working directory."""
    for page in PAGES:
        write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_experiment_of_the_pages_is_here():
    files = [b for page in PAGES for b in blocks(page) if "get_config" in b.text]
    assert {file.title for file in files if file.title} == EXPERIMENTS.keys()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_keeps_the_contract(name, place):
    config = load_experiment(place / name)
    check_config(config)
    check_model(config.model, config.data.canvas)
    assert facts(config.model).num_classes == EXPERIMENTS[name]


@pytest.mark.slow
def test_a_run_of_ones_own_modules_comes_back(place, tmp_path):
    write_digits(place / "digits", {"train": 8, "validation": 4})
    small = (
        "--data.canvas",
        "64",
        "64",
        "--data.batch-size",
        "8",
        "--train.steps",
        "2",
    )
    options = ("--workdir", "runs/mine", "--data.source", "digits", *small)
    assert train.main(["my.py", *options, "--model.backbone.width", "16"]) == 0
    assert evaluate.main(["runs/mine", "--experiment", "my.py"]) == 0
    (opened,) = (b for b in blocks(PAGES[1]) if b.title == "open.py")
    names: dict = {}
    exec(opened.text, names)
    assert names["detect"].model.backbone.width == 16
