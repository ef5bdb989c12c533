"""A user's backbone, head and optimizer: everything a run of ours can do, and consent.

The files are in `tests/support/own`; they are used from another directory.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from fpn_jax import doctor, evaluate, predict, train
from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.inference import load
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import Config, DataConfig, TrainConfig
from fpn_jax.training.metrics import read_metrics
from fpn_jax.training.pretrained import with_pretrained
from fpn_jax.training.programs import make_programs
from fpn_jax.training.run import load_run
from tests.support.commands import ROOT, run

OWN = ROOT / "tests" / "support" / "own"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Returns a directory with the user's files, data, a run of 5 steps and 3 more."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(OWN, place / "mine", ignore=shutil.ignore_patterns("__*"))
    write_digits(place / "digits", {"train": 16, "validation": 8})
    image = np.random.default_rng(0).integers(0, 256, (90, 64, 3), np.uint8)
    cv2.imwrite(str(place / "image.png"), image)
    for options in ((), ("--train.steps", 8)):
        said = used(place, "train", place / "mine/my.py", *options, *_where(place))
    assert "continuing" in said and "from step 5" in said
    return place


def _where(place: Path) -> tuple:
    return ("--workdir", place / "run", "--data.source", place / "digits")


def used(place: Path, *arguments: object) -> str:
    """Returns what a command said that ran in another directory and succeeded."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    done = run(*arguments, cache=place / "cache", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    return done.stdout


def traces(place: Path) -> list[Path]:
    """Returns where the user's module was imported, and forgets it."""
    found = sorted(place.rglob("imported"))
    for path in found:
        path.unlink()
    return found


def test_the_run_keeps_the_experiment_and_the_module_beside_it(place):
    kept = {path.name for path in (place / "run/experiment").glob("*.py")}
    assert kept == {"my.py", "my_backbone.py"}
    config = json.loads((place / "run/config.json").read_text())
    assert config["experiment"] == "my.py"
    backbone = config["model"]["backbone"]
    assert backbone["class"] == "my_backbone.CenteredBackbone"
    assert backbone["activation"] == {"function": "jax.nn.relu"}
    assert config["optimizer"] == {"function": "__experiment__.falling_adam"}


def test_its_learning_rate_is_that_of_its_optimizer(place):
    rates = [r["learning_rate"] for r in read_metrics(place / "run") if "loss" in r]
    first, resumed = [1e-2 * (1 - n / 5) for n in range(5)], [3 / 8, 2 / 8, 1 / 8]
    wanted = first + [1e-2 * rest for rest in resumed]
    np.testing.assert_allclose(rates, wanted, rtol=1e-4)


def test_evaluate_repeats_the_last_validation(place):
    metrics = place / "metrics.json"
    experiment = ("--experiment", place / "mine/my.py")
    used(
        place,
        *("evaluate", place / "run", "--checkpoint", "latest", "--json", metrics),
        *experiment,
    )
    last = read_metrics(place / "run")[-1]
    found = json.loads(metrics.read_text())
    assert found["loss"] == pytest.approx(last["validation/loss"], rel=1e-5)


def test_predict_takes_the_copy_that_the_run_keeps(place):
    shutil.move(place / "mine", place / "away")
    try:
        said = used(place, "predict", place / "run", place / "image.png", "--trust")
    finally:
        shutil.move(place / "away", place / "mine")
    assert "objects" in said


@pytest.mark.parametrize("consent", [{"experiment": "mine/my.py"}, {"trust": True}])
def test_load_gives_the_detector_with_every_collection(place, consent, monkeypatch):
    monkeypatch.chdir(place)
    detector = load(place / "run", "latest", **consent)
    assert detector.variables["running"]["backbone"]["count"] == 8
    assert detector.variables.keys() == {"params", "batch_stats", "running"}
    found = detector(np.zeros((90, 64, 3), np.uint8))
    assert len(found.boxes) == 20
    folder = "run/experiment" if "trust" in consent else "mine"
    assert place / folder / "imported" in traces(place)


def test_a_copy_of_the_run_alone_is_enough_to_go_on_with(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    used(place, "train", "--workdir", tmp_path / "run", "--trust", "--train.steps", 9)
    assert (tmp_path / "run/checkpoints/9").is_dir()


def test_weights_are_exported_under_our_names_without_its_code(place, tmp_path):
    file = tmp_path / "weights.safetensors"
    traces(place)
    said = used(place, "convert", "export", place / "run", file)
    assert "under our names" in said
    assert not traces(place)
    names = load_file(file)
    assert names["params/backbone/stem/kernel"].shape == (4, 4, 3, 4)
    assert names["running/backbone/mean"].shape == (4,)


def test_another_run_starts_from_its_weights_without_its_code(place):
    traces(place)
    model = load_run(place / "run", trust=True).config.model
    traces(place)
    config = Config(
        model=model,
        data=DataConfig(canvas=(64, 64), batch_size=8),
        train=TrainConfig(pretrained=(str(place / "run"),)),
    )
    state = with_pretrained(make_programs(config).init(), config)
    assert not traces(place)
    saved = Checkpoints(place / "run", best="AP").restore_variables
    ema = saved({"ema": {"params": state.params, **state.collections}}, 8)["ema"]
    np.testing.assert_array_equal(
        state.params["backbone"]["stem"]["kernel"],
        ema["params"]["backbone"]["stem"]["kernel"],
    )


COMMANDS = {
    "evaluate": (evaluate, ["run"]),
    "predict": (predict, ["run", "image.png"]),
    "doctor": (doctor, ["digits", "--run", "run"]),
    "train": (train, ["--workdir", "run"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_without_consent_there_is_one_line_and_nothing_is_imported(
    place, name, monkeypatch, capfd
):
    monkeypatch.chdir(place)
    command, arguments = COMMANDS[name]
    for module in ("__experiment__", "my_backbone"):  # what the tests before imported
        sys.modules.pop(module, None)
    traces(place)
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    said = capfd.readouterr().err
    assert stop.value.code == 2
    assert len(said.splitlines()) == 1
    assert "CellHead of my.py" in said
    assert "--experiment FILE.py" in said and "--trust" in said
    assert not traces(place)
    assert not sys.modules.keys() & {"__experiment__", "my_backbone"}


def test_a_process_without_consent_ends_with_status_2(place):
    traces(place)
    done = run("evaluate", place / "run", cache=place / "cache", cwd=place / "mine")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "not imported unasked" in done.stderr
    assert not traces(place)


BROKEN = """
import flax.linen as nn
from my import get_config as mine
import dataclasses

def features(images, stride):
    return nn.Conv(4, (stride, stride), strides=stride)(images)

class Broken(nn.Module):
    @nn.compact
    def __call__(self, images{train}):
        x, y = features(images, 4), features(images, 8)
        return {returned}

def get_config():
    config = mine()
    model = config.model.clone(backbone=Broken())
    return dataclasses.replace(config, model=model)
"""
TRAIN = ", *, train=False"
RULES = {
    "no train": ("", "{2: x, 3: y}", "Broken.__call__ has no argument 'train'"),
    "no dict": (TRAIN, "(x, y)", "must return a dict {level: features}, got a tuple"),
    "names": (TRAIN, "{'c2': x}", "levels must be integers, .* got 'c2'"),
    "wrong strides": (
        TRAIN,
        "{2: x, 3: x}",
        "level 3 must have the stride 8, 8 x 8 for a canvas of 64 x 64, got 16 x 16, "
        "the stride 4 of level 2",
    ),
    "wrong axes": (TRAIN, "{2: x[0], 3: y}", "level 2 must be an array .B, H / 4"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_rule_of_the_contract_is_one_line_before_any_data_is_opened(
    place, rule, tmp_path, monkeypatch, capfd
):
    parameter, returned, message = RULES[rule]
    text = BROKEN.format(train=parameter, returned=returned)
    (place / "mine/broken.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    arguments = [place / "mine/broken.py", "--data.source", place / "nowhere"]
    with pytest.raises(SystemExit) as stop:
        train.main(list(map(str, arguments)))
    said = capfd.readouterr().err
    assert stop.value.code == 2
    assert len(said.splitlines()) == 1
    assert re.search(f"model.backbone: .*{message}", said), said
    assert not list(tmp_path.iterdir())  # no run was begun


def test_help_has_the_options_of_a_run_with_an_optimizer_of_its_own(place, capfd):
    with pytest.raises(SystemExit) as stop:
        train.main([str(place / "mine/my.py"), "--help-all"])
    printed = capfd.readouterr()
    assert stop.value.code == 0
    said = printed.out + printed.err
    assert "--train.steps" in said and "--model.backbone.width" in said
    assert "--optimizer" not in said
