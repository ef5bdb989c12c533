"""What the command line offers of the models, and which errors it makes a line of."""

import importlib
import io
import json
import sys
import zipfile

import jax
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.backbones.vgg import VGG
from fpn_jax.choices import check_choice
from fpn_jax.command_line import check_output, line_of, parse, user_errors
from fpn_jax.data.excess import room_for
from fpn_jax.train import main
from fpn_jax.training.config import Config
from fpn_jax.zoo.digits import digits_proposal_network


@pytest.mark.parametrize("kind", [ResNet, VGG, Dummy])
@pytest.mark.parametrize("part", ["backbone", "neck", "head"])
def test_the_precision_of_each_part_is_a_setting(kind, part):
    default = Config(model=digits_proposal_network().clone(backbone=kind()))
    arguments = [f"--model.{part}.dtype", "bfloat16"]
    config = parse(Config, arguments, command="train", default=default)
    assert getattr(config.model, part).dtype == "bfloat16"
    others = {"backbone", "neck", "head"} - {part}
    assert {getattr(config.model, other).dtype for other in others} == {None}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])  # other boxes around it
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--steps", "9"], "no such option: --steps; nearest: --train.steps"),
        (
            ["--data.soruce", "a"],
            "no such option: --data.soruce; nearest: --data.source",
        ),
        (["--colors", "9"], "no such option: --colors"),
        (
            ["--data.canvas", "320"],
            "--data.canvas: '320' given, must be 2 whole numbers",
        ),
        (
            ["--data.canvas", "3", "x"],
            "--data.canvas: '3 x' given, must be 2 whole numbers",
        ),
        (
            ["--data.batch-size=five"],
            "--data.batch-size: 'five' given, must be a whole number",
        ),
        (
            ["--data.batch_size"],
            "--data.batch-size: nothing given, must be a whole number",
        ),
        (
            ["--optimizer.learning-rate", "fast"],
            "--optimizer.learning-rate: 'fast' given, must be a number",
        ),
        (
            ["--optimizer.milestones", "0.5", "x"],
            "--optimizer.milestones: '0.5 x' given, must be numbers",
        ),
        (
            ["--optimizer.name", "adam"],
            "--optimizer.name: 'adam' given, must be sgd, adamw or muon (nearest: "
            "adamw)",
        ),
        (["--data.flip", "no"], "--data.flip: 'no' given, must be True or False"),
        (["--data.skip-empty", "yes"], "unexpected: yes"),
    ],
)
def test_what_is_wrong_with_an_option_is_a_line_in_every_terminal(
    words, line, encoding, monkeypatch
):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(ValueError) as error:
        parse(Config, words, command="train", default=Config())
    assert str(error.value) == line


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("evaluate", [], "RUN is missing (Directory of a run, or the name of a "),
        ("export", ["run"], "OUT is missing (File to write, or directory where the "),
        (
            "convert",
            ["yolox", "yolox_s"],
            "FILE is missing (Checkpoint of the authors' code: .pth); OUT is missing (",
        ),
        ("convert", [], "FORM is missing (One of torchvision, detectron2, yolox and "),
        ("predict", ["run", "a.jpg", "--overlap", "2"], "overlap: 2.0 given, must be"),
        ("predict", ["run", "a.jpg", "--batch-size", "0"], "batch-size: 0 given, "),
        (
            "export",
            ["run", "a", "--batch", "some"],
            "--batch: 'some' given, must be a ",
        ),
        ("train", ["--workdir", "a", "b.py"], "experiment: 'b.py' must come first"),
        ("preflight", ["--search", "b.py"], "experiment: 'b.py' must come first"),
    ],
)
def test_what_is_missing_or_makes_no_sense_is_named(command, words, line, capsys):
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(f"fpn_jax.{command}").main(words)
    said = capsys.readouterr().err
    assert said.startswith(f"fpn-jax {command}: {line}") and said.count("\n") == 1


def test_a_page_is_printed_where_the_terminal_lacks_its_characters(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit, match="0"):
        parse(Config, ["--help"], command="train", default=Config())
    terminal.seek(0)
    assert "--model.rpn.anchor-sizes.0 ? 4 NUMBER ?" in terminal.read()


def test_an_unknown_precision_is_refused_with_the_known_ones():
    words = ["--model.backbone.dtype", "bfloat15"]
    with pytest.raises(ValueError, match="backbone.dtype: 'bfloat15'.* or float16"):
        parse(Config, words, command="train", default=Config())


@pytest.mark.parametrize("kind", [ResNet, VGG])
def test_the_axis_of_pmap_is_no_setting(kind, tmp_path, capsys):
    experiment = tmp_path / "experiment.py"
    experiment.write_text(
        f"""
from {kind.__module__} import {kind.__name__}
from fpn_jax.zoo.digits import digits_proposal_network
from fpn_jax.training.config import Config


def get_config():
    return Config(model=digits_proposal_network().clone(backbone={kind.__name__}()))
"""
    )
    with pytest.raises(SystemExit, match="0"):
        main([str(experiment), "--help-all"])
    offered = capsys.readouterr().out
    assert "--model.backbone.depth" in offered
    assert "axis" not in offered
    with pytest.raises(SystemExit, match="2"):
        main([str(experiment), "--model.backbone.axis-name", "data"])
    assert "--model.backbone.axis-name" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_found_before_the_work(tmp_path):
    check_output("json", tmp_path / "metrics.json")
    with pytest.raises(ValueError, match="json: no directory '.*/none'"):
        check_output("json", tmp_path / "none" / "metrics.json")
    with pytest.raises(ValueError, match="html: '.*' is a directory, must be a file"):
        check_output("html", tmp_path)


def raised(function, *arguments, **options) -> Exception:
    with pytest.raises(Exception) as caught:
        function(*arguments, **options)
    return caught.value


def test_a_value_error_of_this_package_is_a_line_and_one_of_another_is_none():
    assert line_of(raised(check_choice, "depth", 5, (18, 34))) == (
        "depth must be one of 18, 34, got 5 (nearest: 18)"
    )
    assert line_of(raised(np.zeros(3).reshape, 2)) is None
    assert line_of(TypeError("'NoneType' object is not iterable")) is None


def test_a_file_that_is_no_utf_8_is_named(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("café".encode("latin-1"))
    line = line_of(raised(path.read_text, encoding="utf-8"))
    assert line.startswith(f"'{path}' is no UTF-8 text: ")
    assert line.endswith("it may be Latin-1, save it as UTF-8")


def test_what_a_parser_of_files_refuses_is_a_line(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"picture")
    content = bytearray(path.read_bytes())
    for place in (content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8):
        content[place] |= 1  # the flag of encryption
    path.write_bytes(bytes(content))
    with zipfile.ZipFile(path) as archive:
        encrypted = raised(archive.read, "a.jpg")
    assert "RuntimeError: File 'a.jpg' is encrypted, password" in line_of(encrypted)
    assert "JSONDecodeError: Expecting" in line_of(raised(json.loads, "{"))


def test_a_number_of_the_data_that_no_array_holds_is_a_line():
    class Huge:
        def max(self, *, initial):
            return np.int64(2**70)

    line = line_of(raised(room_for, Huge()))
    assert line.startswith("data: a number is too large: ")
    assert line_of(raised(np.int64, 2**70)) is None


def test_too_little_memory_says_what_was_asked_for_and_what_needs_less():
    error = jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory allocating 12345678901 bytes."
    )
    assert line_of(error, "train").startswith(
        "out of memory: 12.35 GB more were needed; a smaller --data.batch-size (with "
        "--optimizer.accumulate"
    )
    line = line_of(raised(np.empty, 2**50), "predict")
    assert line.startswith("out of memory: 8.00 PiB more were needed; ")
    assert "--batch-size" in line
    refused = jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 21.30G of "
        "15.75G hbm."
    )
    line = line_of(refused, "train")
    assert line.startswith("out of memory: 22.87 GB are needed, there are 16.91 GB; ")
    other = jax.errors.JaxRuntimeError("INTERNAL: a bug")
    assert line_of(other, "train") is None


def test_an_error_of_a_users_module_names_its_line(tmp_path):
    module = tmp_path / "mine.py"
    module.write_text("import numpy\n\ndef call():\n    numpy.stack(3)\n")
    sys.path.insert(0, str(tmp_path))
    try:
        mine = importlib.import_module("mine")
    finally:
        sys.path.remove(str(tmp_path))
    with pytest.raises(TypeError) as caught, user_errors("train"):
        mine.call()
    assert caught.value.__notes__ == [
        f"fpn-jax train: raised by a module of your own, in {module}, line 4"
    ]


def test_an_error_of_the_program_keeps_its_trace_and_asks_for_a_report():
    with pytest.raises(TypeError) as caught, user_errors("train"):
        check_choice("depth", 5, None)  # a call that no command makes
    (note,) = caught.value.__notes__
    assert note.startswith("fpn-jax train: this was not expected.")
    assert "please report it" in note
