"""The train command's way from its arguments to a run."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fpn_jax import train
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import values_of, with_field
from fpn_jax.training import loop
from fpn_jax.training.config import Config, DataConfig, TrainConfig, with_canvas
from fpn_jax.training.config_file import check_resumable, write_config


class Runs(list):
    """Configs and directories of runs, and what was asked for beside them."""

    fitted: list[frozenset[str]]  # the settings that the data decides
    typed: list[frozenset[str]]


@pytest.fixture
def runs(monkeypatch, tmp_path) -> Runs:
    """Returns the list of runs that the command would have made, in an empty folder."""
    made = Runs()
    made.fitted, made.typed = [], []
    monkeypatch.chdir(tmp_path)

    def train(config, run, *, experiment, fitted, typed):
        made.append((config, run))
        made.fitted.append(fitted)
        made.typed.append(typed)

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


def test_data_decides_classes_and_canvas_where_nobody_has(runs):
    write_config(Config(data=DataConfig(source="photos")), Path("begun"))
    photos = ["--data.source", "photos"]
    canvas = ["--data.canvas", "64", "64"]
    classes = ["--model.box-head.num-classes=10"]
    for words in (photos, [*photos, *canvas], [*photos, *classes]):
        train.main(words)
    train.main(["--workdir", "begun"])
    assert runs.fitted == [
        {"model.classes", "data.canvas"},
        {"model.classes"},
        {"data.canvas"},
        set(),
    ]


@pytest.mark.parametrize("words", [["--model", "{}"], ["--model={}"]])
def test_a_model_by_name_is_fitted_to_the_data(runs, words):
    words = [word.format("retinanet_resnet50_fpn") for word in words]
    words += ["--train.pretrained", "coco", "--train.steps", "12"]
    assert train.main(words) == 0
    config, _ = runs[0]
    assert facts(config.model).num_classes == 91  # until the data is opened
    assert config.model.backbone.frozen_stages == 2
    assert config.train.steps == 12 and config.train.pretrained == ("coco",)
    assert config.data.canvas == (800, 1344)
    assert runs.fitted == [
        {
            "model.classes",
            "data.canvas",
            "train.evaluate_every",
            "optimizer.warmup_steps",
        }
    ]
    assert runs.typed == [{"train.pretrained", "train.steps"}]


def test_a_model_by_name_without_weights_is_not_frozen(runs):
    assert train.main(["--model", "mask_rcnn_R_50_FPN"]) == 0
    config, _ = runs[0]
    assert config.model.backbone.frozen_stages == 0
    assert config.model.backbone.norm == "batch"
    assert config.evaluation.best == "mask/AP"


def test_a_yolox_by_name_is_resized_as_released_and_keeps_its_norms(runs):
    assert train.main(["--model", "yolox_nano", "--train.pretrained", "coco"]) == 0
    config, _ = runs[0]
    assert config.data.canvas == (416, 416) and config.data.box_scale == "common"
    assert set(values_of(config.model, "norm").values()) == {"frozen"}
    assert config.model.backbone.frozen_stages == 2


def test_a_model_by_name_goes_on_with_the_settings_of_its_run(runs):
    words = ["--model", "fcos_resnet50_fpn", "--workdir", "begun"]
    train.main([*words, "--train.pretrained", "coco", "--data.batch-size", "2"])
    config, run = runs[0]
    decided = replace(
        with_canvas(config, (64, 96)),
        model=with_field(config.model, "num_classes", 3),
        train=replace(config.train, steps=77, evaluate_every=16),
    )
    write_config(decided, run)
    train.main([*words, "--train.steps", "99"])
    expected = replace(decided, train=replace(decided.train, steps=99))
    assert runs[1] == (expected, run)
    assert runs.fitted[1] == set()


def test_another_model_by_name_does_not_go_on_with_a_run(runs):
    train.main(["--model", "fcos_resnet50_fpn", "--workdir", "begun"])
    config, run = runs[0]
    write_config(config, run)
    train.main(["--model", "retinanet_resnet50_fpn", "--workdir", "begun"])
    with pytest.raises(ValueError, match="holds a run of another model: model.head"):
        check_resumable(runs[1][0], run)


def test_another_optimizer_has_its_own_rate(runs):
    train.main(["--model", "fcos_resnet50_fpn", "--optimizer.name", "sgd"])
    train.main(["--model", "fcos_resnet50_fpn"])
    assert [config.optimizer.peak for config, _ in runs] == [1e-3, 1e-4]


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--model", "fasterrcnn_resnet50"],
            "model must be one of .*nearest: 'fasterrcnn_resnet50_fpn'",
        ),
        (["own.py", "--model", "x"], "model: 'x' given beside the experiment 'own.py'"),
        (["--model"], "model must be one of"),
    ],
)
def test_a_wrong_name_of_a_model_is_one_line(runs, capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        train.main(words)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and re.search(message, said), said
    assert not runs


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
