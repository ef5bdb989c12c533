"""The command `export`."""

import json
import re
import zipfile

import pytest
from PIL import Image

from fpn_jax import export
from tests.support.random_run import CANVAS, directory_of, picture, two_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return directory_of(two_stage(), tmp_path_factory)


def test_a_run_becomes_a_file_that_says_how_it_was_proven(run, tmp_path, capsys):
    Image.fromarray(picture(*CANVAS)).save(tmp_path / "1.png")
    out = tmp_path / "detector.stablehlo"
    options = ["--images", str(tmp_path / "1.png"), "--batch", "dynamic"]
    assert export.main([str(run), str(out), *options]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{out}: stablehlo, ") and first.endswith(" for any batch")
    assert second.startswith("beside the detector on 1 pictures: 9 detections, 0 unm")
    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("metadata.json"))
    assert about["proof"]["detections"] == 9


def test_without_pictures_samples_prove_it(run, tmp_path, capsys):
    assert export.main([str(run), str(tmp_path / "a")]) == 0
    assert "beside the detector on 4 pictures: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, said",
    [
        (["--format", "tflite"], "'tflite' .* '--format'.*'stablehlo', 'onnx'"),
        (["--batch", "0"], "batch: 0 given"),
        (["--canvas", "0", "64"], "canvas: 0 given"),
        (["--score-threshold", "2"], "score-threshold: 2.0 given"),
        (["--images", "none.jpg"], "none.jpg: No such file"),
    ],
)
def test_an_option_that_means_nothing_is_a_line(run, tmp_path, capsys, options, said):
    with pytest.raises(SystemExit) as stop:
        export.main([str(run), str(tmp_path / "a"), *options])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert re.search(said, err) and err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_folder_for_the_file_is_a_line(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        export.main([str(run), str(tmp_path / "none" / "a")])
    assert "out: no directory" in capsys.readouterr().err
