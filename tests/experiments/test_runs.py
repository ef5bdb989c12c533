"""A run of an experiment is trained once; its table shows what is done."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments import runs
from experiments.necks_and_heads import HEADS, NECKS, config_of, main, table_text
from fpn_jax.training.config import Config
from fpn_jax.training.config_file import write_config


@pytest.fixture
def trained(monkeypatch):
    """The runs that would have been trained."""
    made = []
    monkeypatch.setattr(runs, "train", lambda config, run: made.append(run.name))
    return made


def write_rows(run, *rows):
    run.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(text)
    (run / "checkpoints" / "300").mkdir(parents=True)


def test_only_a_run_without_its_last_validation_is_trained(tmp_path, trained):
    config = Config(train=dataclasses.replace(Config().train, steps=300))
    write_rows(tmp_path / "done", {"step": 20, "loss": 1}, {"step": 300, "AP": 0.1})
    write_rows(tmp_path / "shorter", {"step": 200, "AP": 0.1})
    write_rows(tmp_path / "stopped", {"step": 300, "loss": 1})
    write_rows(tmp_path / "unsaved", {"step": 300, "AP": 0.1})
    (tmp_path / "unsaved" / "checkpoints" / "300").rmdir()
    for name in ("done", "shorter", "stopped", "unsaved", "new"):
        runs.train_once(config, tmp_path / name)
    assert trained == ["shorter", "stopped", "unsaved", "new"]
    assert runs.last_validation(tmp_path / "done") == {"step": 300, "AP": 0.1}
    assert runs.last_validation(tmp_path / "stopped") is None


@pytest.mark.parametrize("neck", NECKS)
@pytest.mark.parametrize("head", HEADS)
def test_a_run_is_taken_for_that_of_its_own_settings_only(
    tmp_path, trained, neck, head
):
    config = config_of(neck, head, 300)
    write_config(config, tmp_path / "run")
    runs.train_once(config, tmp_path / "run")
    assert trained == ["run"]
    data = dataclasses.replace(config.data, flip=True)
    with pytest.raises(ValueError, match="^out: .*run holds a run with other settings"):
        runs.train_once(dataclasses.replace(config, data=data), tmp_path / "run")


@pytest.mark.parametrize("neck", NECKS)
def test_every_pair_gives_its_head_the_levels_it_expects(neck):
    images, sizes = np.zeros((1, 128, 128, 3), np.uint8), np.full((1, 2), 128)
    for head in HEADS:
        config = config_of(neck, head, 300)
        model = config.model
        outputs, _ = jax.eval_shape(
            model.init_with_output, jax.random.key(0), images, sizes
        )
        levels = [2, 3, 4, 5] + [6] * (head == "rpn")
        assert sorted(outputs.deltas) == levels
        assert type(model.neck).__name__.lower() == neck
        assert config.train.steps == config.train.evaluate_every == 300


def test_the_command_trains_the_pairs_that_are_named(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(runs, "train", lambda config, run: made.append(run.name))
    words = ["--necks", "bifpn", "--heads", "yolox", "rpn", "--steps", "40"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert made == ["bifpn-yolox-steps40", "bifpn-rpn-steps40"]
    assert (tmp_path / "table.md").read_text() == capsys.readouterr().out[:-1]


def test_the_table_of_pairs(tmp_path):
    losses = [{"step": 20, "loss": 4.0}, {"step": 300, "loss": 0.5}]
    write_rows(tmp_path / "bifpn-fcos-steps300", *losses, {"step": 300, "AP": 0.25})
    last = {"step": 300, "AP": 0.25, "AR@100": 0.5}
    write_rows(tmp_path / "fpn-rpn-steps300", *losses, last)
    assert table_text(tmp_path, 300).splitlines()[2:] == [
        "| fpn | rpn | 4.00 | 0.50 | AR@100 0.500 |",
        "| bifpn | fcos | 4.00 | 0.50 | 0.250 |",
    ]
