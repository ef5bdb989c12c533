"""Exported files behind the server find what the detector finds."""

import importlib.util
import json
import zipfile

import numpy as np
import pytest

from fpn_jax.artifacts.export import export_detector
from fpn_jax.inference import load
from fpn_jax.serving.artifact_file import artifact_engine, is_artifact
from tests.support.photograph import encoded
from tests.support.random_run import CANVAS, directory_of, picture, with_masks
from tests.support.serving import ask, served

IMAGES = [picture(60, 90), picture(96, 128, seed=1)]
FORMATS = {
    "stablehlo": "flatbuffers",
    "onnx": "onnxruntime",
    "savedmodel": "tensorflow",
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load(directory_of(with_masks(), tmp_path_factory), score_threshold=0.01)


@pytest.mark.parametrize("batch", [2, "dynamic"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_behind_the_server_finds_what_the_detector_finds(
    detector, form, batch, tmp_path
):
    if importlib.util.find_spec(FORMATS[form]) is None:
        pytest.skip(f"no {FORMATS[form]}")
    path = tmp_path / ("detector.onnx" if form == "onnx" else "detector")
    export_detector(detector, path, form, images=IMAGES, batch=batch)
    assert is_artifact(path)
    engine = artifact_engine(path, 3 if batch == "dynamic" else None)
    assert engine.batch_size == (3 if batch == "dynamic" else 2)
    assert engine.canvases == (CANVAS,) and engine.name == "detector"
    with served(engine) as server:
        for image in IMAGES:
            answer = ask(server.port, "POST", "/detect", encoded(image, "PNG"))
            rows, wanted = answer.json["objects"], detector(image)
            assert [row["name"] for row in rows] == wanted.class_names
            boxes = np.array([row["box"] for row in rows])
            np.testing.assert_allclose(boxes, wanted.boxes, atol=0.05)
            scores = [row["score"] for row in rows]
            np.testing.assert_allclose(scores, wanted.scores, atol=1e-4)
            assert [row["mask"]["size"] for row in rows] == [[*image.shape[:2]]] * len(
                rows
            )


def test_an_upright_image_is_put_on_the_lying_canvas(detector, tmp_path):
    path = tmp_path / "detector"
    export_detector(detector, path, "stablehlo", images=IMAGES, canvas=(64, 100))
    placed = artifact_engine(path).place(picture(200, 100))
    assert placed.canvas == (64, 128)  # the next multiples of 32
    assert placed.pixels.shape == (64, 32, 3) and placed.size == (64, 32)
    assert placed.image_size == (200, 100)


def refusal(path, batch_size=None) -> str:
    with pytest.raises(ValueError) as refused:
        artifact_engine(path, batch_size)
    line = str(refused.value)
    assert "\n" not in line and len(line) < 400
    return line


def test_files_that_are_no_artifacts_are_a_line(detector, tmp_path):
    path = tmp_path / "detector"
    export_detector(detector, path, "stablehlo", images=IMAGES, batch=2)
    assert "batch-size: 3 given" in refusal(path, 3)
    other = tmp_path / "other"
    other.write_bytes(b"no model")
    assert refusal(other).endswith("neither a run nor a file of `fpn-jax export`")
    (tmp_path / "other.onnx").write_bytes(b"no model")
    assert "cannot be opened" in refusal(tmp_path / "other.onnx")
    other.write_bytes(path.read_bytes()[:-100])
    assert "neither a run" in refusal(other)
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read("metadata.json"))
        program = archive.read("program")
    del about["fit"]
    for name, text, data in (
        ("no fit", json.dumps(about), program),
        ("no JSON", "{", program),
        ("no program", json.dumps(about), b"program"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("metadata.json", text)
            archive.writestr("program", data)
    assert "its description is not whole: KeyError('fit')" in refusal(
        tmp_path / "no fit"
    )
    assert "cannot be opened" in refusal(tmp_path / "no JSON")
    assert "cannot be opened" in refusal(tmp_path / "no program")
