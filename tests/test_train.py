"""The train command's way from its arguments to a run."""

from pathlib import Path

import pytest

from fpn_jax import train
from fpn_jax.training import loop
from fpn_jax.training.config import Config, DataConfig, TrainConfig
from fpn_jax.training.config_file import write_config


class Runs(list):
    """Configs and directories of runs, and whether their images choose the canvas."""

    fitted: list[bool]


@pytest.fixture
def runs(monkeypatch, tmp_path) -> Runs:
    """Returns the list of runs that the command would have made, in an empty folder."""
    made, fitted = Runs(), []
    made.fitted = fitted
    monkeypatch.chdir(tmp_path)

    def train(config, run, *, experiment, fit_canvas):
        made.append((config, run))
        fitted.append(fit_canvas)

    monkeypatch.setattr(loop, "train", train)
    return made


def test_without_arguments_the_default_job_gets_a_new_directory(runs):
    Path("runs/digits-1").mkdir(parents=True)
    assert train.main([]) == 0
    assert runs == [(Config(), Path("runs/digits-2"))]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/cats", "cats"),
        ("photos/cats/data.yaml", "cats"),
        ("photos/helmets.yaml", "helmets"),
        ("photos/dogs/annotations.json", "dogs"),
    ],
)
def test_a_run_has_the_name_of_its_data(runs, source, name):
    assert train.main(["--data.source", source]) == 0
    assert runs[0][1] == Path("runs") / f"{name}-1"


def test_images_choose_the_canvas_where_nobody_has(runs):
    write_config(Config(data=DataConfig(source="photos")), Path("begun"))
    photos = ["--data.source", "photos"]
    for words in (photos, [*photos, "--data.canvas", "64", "64"], []):
        train.main(words)
    train.main(["--workdir", "begun"])
    assert runs.fitted == [True, False, False, False]


@pytest.mark.parametrize("words", [["--workdir", "begun"], ["--workdir=begun"]])
def test_a_run_goes_on_with_its_own_settings_but_those_given(runs, words):
    write_config(Config(train=TrainConfig(steps=7, seed=3)), Path("begun"))
    assert train.main([*words, "--train.steps", "9"]) == 0
    assert runs == [(Config(train=TrainConfig(steps=9, seed=3)), Path("begun"))]


def test_a_workdir_without_a_name_is_one_line(runs, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--workdir"])
    assert stop.value.code == 2
    assert "--workdir" in capsys.readouterr().err
    assert not runs
