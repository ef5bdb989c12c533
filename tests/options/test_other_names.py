"""Who types an option of another library is told what it is called here."""

import importlib
import re

import pytest

from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.options.other_names import _ANSWERS, check_other_names
from tests.support.offers import offered

# What people know from Ultralytics, Detectron2 and torchvision's references.
TRAINING = [
    *("epochs", "lr", "lr0", "imgsz", "batch", "batch-size", "resume", "amp", "device"),
    *("workers", "weights", "data", "conf", "iou", "project", "name", "save-txt"),
    *("max-det", "half", "pretrained", "patience", "seed", "output-dir", "num-gpus"),
    *("config-file", "eval-only", "optimizer", "freeze", "cos-lr", "max-iter"),
]
PREDICTION = [
    *("source", "weights", "model", "conf", "iou", "imgsz", "max-det", "device"),
    *("save-txt", "save-crop", "project", "name", "half", "output", "augment"),
    *("vid-stride", "batch", "confidence-threshold"),
]


def said(command: str, *words: str) -> str:
    with pytest.raises(ValueError) as error:
        check_other_names(command, words)
    return str(error.value)


@pytest.mark.parametrize("command", _ANSWERS)
def test_no_name_of_others_is_an_option_here(command):
    offer, _ = offered((command,), "--help-all")
    names = {name for option in offer.options for name in option.names}
    assert not names & {f"--{name}" for name in _ANSWERS[command]}


@pytest.mark.parametrize("command", _ANSWERS)
def test_every_option_that_an_answer_names_exists(command):
    known = {
        name
        for each in _ANSWERS
        for option in offered((each,), "--help-all")[0].options
        for name in option.names
    }
    answers = " ".join(_ANSWERS[command].values())
    named = set(re.findall(r"--[a-z][\w.-]*", answers))
    assert named - known == set()


@pytest.mark.parametrize(
    ("command", "name"),
    [("train", name) for name in TRAINING] + [("predict", name) for name in PREDICTION],
)
def test_names_that_people_know_end_in_one_line_that_tells_ours(command, name, capsys):
    main = importlib.import_module(f"fpn_jax.{command}").main
    with pytest.raises(SystemExit, match="2"):
        main(["--trust", f"--{name}", "7"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.match(rf"fpn-jax {command}: (--{name} 7: |.*--train.seed)", said)


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("predict", "--conf 0.25", "--conf 0.25: give --score-threshold 0.25"),
        ("predict", "--conf=0.25", "--conf=0.25: give --score-threshold 0.25"),
        ("predict", "--conf --out a", "--conf: give --score-threshold 0.5"),
        (
            "predict",
            "--source x",
            "--source x: give it as an argument: fpn-jax predict RUN x",
        ),
        ("evaluate", "--half", "--half: give --dtype bfloat16"),
        ("export", "--imgsz 640", "--imgsz 640: give --canvas 640 640"),
        ("train", "--lr 0.01", "--lr 0.01: give --optimizer.learning-rate 0.01"),
        ("train", "lr=0.01", "lr=0.01: give --optimizer.learning-rate 0.01"),
        (
            "train",
            "--imgsz 300",
            "--imgsz 300: give --data.canvas 288 288, height and width, multiples of "
            "32",
        ),
        (
            "train",
            "--batch_size 8 --num_workers 4",
            "--batch_size 8: give --data.batch-size 8; --num_workers 4: give "
            "--data.workers 4",
        ),
        (
            "doctor",
            "--data x",
            "--data x: give it as the first argument: fpn-jax doctor x",
        ),
    ],
)
def test_an_answer_has_the_value_that_was_given(command, words, line):
    assert said(command, *words.split()) == line


def test_epochs_are_counted_in_steps_of_the_data(tmp_path):
    place = tmp_path / "1.0.0"
    write_digits(place, {"train": 44, "validation": 1})
    words = ("--epochs", "5", "--data.source", str(place))
    assert said("train", *words) == (
        "--epochs 5: training is counted in steps: --train.steps 55; 44 images in "
        "batches of 4 are 11 steps an epoch"
    )
    assert "--train.steps 30; 44 images in batches of 8 are 6 steps" in said(
        "train", *words, "--batch", "8"
    )


def test_epochs_of_data_that_is_not_there_are_explained(tmp_path):
    words = ("--epochs=5", "--data.source", str(tmp_path / "none"))
    assert said("train", *words) == (
        "--epochs=5: training is counted in steps: --train.steps 700; an epoch has as "
        "many as the images divided by --data.batch-size"
    )


def test_our_own_options_and_other_commands_pass():
    check_other_names("train", ["my.py", "--data.batch-size", "8", "--trust"])
    check_other_names("models", ["--epochs", "8"])
