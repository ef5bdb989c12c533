"""The train command's way from its arguments to a run."""

from pathlib import Path

import pytest

from fpn_jax import train
from fpn_jax.training import loop
from fpn_jax.training.config import Config, TrainConfig
from fpn_jax.training.config_file import write_config


@pytest.fixture
def runs(monkeypatch, tmp_path) -> list[tuple[Config, Path]]:
    """Returns the list of runs that the command would have made, in an empty folder."""
    made = []
    monkeypatch.chdir(tmp_path)

    def train(config, run, *, experiment):
        made.append((config, run))

    monkeypatch.setattr(loop, "train", train)
    return made


def test_without_arguments_the_default_job_gets_a_new_directory(runs):
    Path("runs/digits-1").mkdir(parents=True)
    assert train.main([]) == 0
    assert runs == [(Config(), Path("runs/digits-2"))]


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
