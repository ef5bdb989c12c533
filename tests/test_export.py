"""The command `export`: a run in, a proven file out."""

import json
import sys
import zipfile

import pytest
from PIL import Image

from fpn_jax import export
from fpn_jax.artifacts import export as making
from tests.support.random_run import directory_of, picture, two_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return directory_of(two_stage(), tmp_path_factory)


@pytest.fixture
def photograph(tmp_path):
    Image.fromarray(picture(60, 90)).save(tmp_path / "1.png")
    return tmp_path / "1.png"


def called(*arguments) -> int:
    return export.main([*map(str, arguments)])


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        called(*arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fpn-jax export: ") and err.count("\n") == 1
    return err.removeprefix("fpn-jax export: ").strip()


def test_a_file_says_what_it_is_and_how_far_it_is_apart(
    run, photograph, tmp_path, capsys
):
    out = tmp_path / "out"
    options = ("--images", photograph, "--score-threshold", 0.2, "--canvas", 64, 90)
    assert called(run, out, *options) == 0
    said = capsys.readouterr().out
    assert f"{out}: stablehlo, " in said and "on 1 pictures: " in said
    with zipfile.ZipFile(out) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["format"] == "stablehlo" and metadata["batch"] == 1
    assert metadata["canvas"] == [64, 96] and metadata["fit"] == [64, 90]
    assert metadata["thresholds"]["box_head.score_threshold"] == 0.2
    assert metadata["classes"][1] == {"id": 7, "name": "dog"}
    assert len(metadata["weights_sha256"]) == 64
    assert metadata["proof"]["unmatched"] == 0


def test_what_is_apart_is_refused_and_nothing_remains(
    run, photograph, tmp_path, capsys, monkeypatch
):
    def wrong(*arguments):
        found = making.write_stablehlo(*arguments)

        def run(images, sizes):
            right = found(images, sizes)
            return right | {"labels": 1 - right["labels"]}

        return run

    form = making.FORMATS["stablehlo"]._replace(write=wrong)
    monkeypatch.setitem(making.FORMATS, "stablehlo", form)
    out = tmp_path / "out"
    options = ("--images", photograph, "--score-threshold", 0.01)
    line = refused(capsys, run, out, *options)
    assert "does not find what the detector does" in line
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--batch", "0"), "batch: 0 given"),
        (("--canvas", "0", "64"), "canvas: 0 given"),
        (("--nms-threshold", "2"), "nms-threshold: 2.0 given"),
        (("--format", "onnx", "--dtype", "bfloat16"), "dtype: the model computes in"),
        (("--images", "none.jpg"), "none.jpg"),
        (("--format", "onx"), "onnx"),
    ],
)
def test_wrong_options_are_one_line(run, options, line, tmp_path, capsys):
    assert line in refused(capsys, run, tmp_path / "out", *options)
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_not_there_is_one_line(run, tmp_path, capsys):
    assert "no directory" in refused(capsys, run, tmp_path / "no" / "out")


def test_a_directory_is_not_written_over(run, tmp_path, capsys):
    options = (run, tmp_path, "--format", "savedmodel")
    assert refused(capsys, *options) == (
        f"out: {str(tmp_path)!r} exists, must be a new directory"
    )


def test_a_format_whose_package_is_missing_is_one_line(
    run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    line = refused(capsys, run, tmp_path / "out", "--format", "savedmodel")
    assert line == (
        "format: savedmodel needs TensorFlow: pip install 'fpn-jax[savedmodel]'"
    )
    assert not [*tmp_path.iterdir()]


def test_the_suffix_says_the_format(run, photograph, tmp_path, capsys):
    pytest.importorskip("onnx")
    options = ("--images", photograph, "--batch", "dynamic")
    assert called(run, tmp_path / "detector.onnx", *options) == 0
    said = capsys.readouterr().out
    assert "detector.onnx: onnx, " in said and ", for batches of any size" in said
    assert "masks" not in said
    options = (run, tmp_path / "other.onnx", "--format", "stablehlo")
    line = refused(capsys, *options)
    assert line == "out: 'other.onnx' is the name of a file of ONNX, not of stablehlo"
