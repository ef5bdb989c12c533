"""A detector as a file finds the same in a process without this package."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from fpn_jax.artifacts import export_detector
from fpn_jax.artifacts.program import OUTPUTS, detection_program
from fpn_jax.artifacts.proof import on_canvas
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.inference import Predictor, load
from tests.support import reads_artifact
from tests.support.random_run import (
    CANVAS,
    CATEGORIES,
    directory_of,
    picture,
    two_stage,
)

ONNX = pytest.param(
    "onnx",
    marks=pytest.mark.skipif(
        not __import__("importlib.util").util.find_spec("jax2onnx"),
        reason="jax2onnx is not installed",
    ),
)
IMAGES = [picture(60, 100), picture(96, 128, seed=1), picture(130, 70, seed=2)]


def with_heads():
    pool = RoIPool(size=14, levels=(3, 4))
    return two_stage(
        mask_head=MaskHead(2, pool=pool, num_convs=1, channels=8),
        keypoint_head=KeypointHead(3, pool=pool, num_convs=1, channels=8),
    )


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Predictor:
    return load(directory_of(with_heads(), tmp_path_factory))


def read(path: Path, images: np.ndarray, sizes: np.ndarray) -> tuple[dict, dict]:
    """Runs a file in a process of its own; returns what it finds, and says."""
    np.savez(path.parent / "in.npz", images=images, sizes=sizes)
    out = path.parent / "out.npz"
    done = subprocess.run(
        [sys.executable, reads_artifact.__file__, path, path.parent / "in.npz", out],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return dict(np.load(out)), json.loads(done.stdout)


@pytest.mark.parametrize("form", ["stablehlo", ONNX])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_finds_what_the_detector_finds(detector, tmp_path, form, batch):
    path = tmp_path / f"detector.{form}"
    proof = export_detector(detector, path, form, images=IMAGES, batch=batch)
    assert proof.holds and proof.detections > 10
    images, sizes = on_canvas(IMAGES[:batch], canvas=CANVAS, fit=CANVAS, batch=batch)
    found, about = read(path, images, sizes)
    assert found.keys() == set(OUTPUTS)
    program = detection_program(detector.model, detector.variables)
    ours = jax.device_get(jax.jit(program)(images, sizes))
    for name, values in found.items():
        assert values.dtype == ours[name].dtype and values.shape == ours[name].shape
    np.testing.assert_array_equal(found["valid"], ours["valid"])
    np.testing.assert_allclose(found["scores"], ours["scores"], atol=1e-4)
    assert about["format"] == form and about["batch"] == batch
    assert about["canvas"] == about["fit"] == list(CANVAS)
    assert [row["name"] for row in about["classes"]] == [c.name for c in CATEGORIES]
    assert about["proof"]["detections"] == proof.detections
    assert about["thresholds"]["box_head.score_threshold"] == 0.05
    assert len(about["weights_sha256"]) == 64


def test_one_stablehlo_file_takes_any_number_of_images(detector, tmp_path):
    path = tmp_path / "detector.stablehlo"
    export_detector(detector, path, "stablehlo", images=IMAGES, batch="dynamic")
    program = jax.jit(detection_program(detector.model, detector.variables))
    for number in (1, 3):
        batch = on_canvas(IMAGES[:number], canvas=CANVAS, fit=CANVAS, batch=number)
        found, about = read(path, *batch)
        ours = jax.device_get(program(*batch))
        np.testing.assert_allclose(found["boxes"], ours["boxes"], atol=1e-3)
        assert about["batch"] == "dynamic"


def test_a_row_without_an_image_changes_nothing(detector, tmp_path):
    path = tmp_path / "detector.stablehlo"
    export_detector(detector, path, "stablehlo", images=IMAGES, batch=3)
    images, sizes = on_canvas(IMAGES[:1], canvas=CANVAS, fit=CANVAS, batch=3)
    found, _ = read(path, images, sizes)
    assert found["valid"][0].any() and not found["valid"][1:].any()


def test_the_canvas_may_be_another_one(detector, tmp_path):
    path = tmp_path / "detector.stablehlo"
    proof = export_detector(detector, path, "stablehlo", images=IMAGES, canvas=(70, 90))
    assert proof.detections > 5
    images, sizes = on_canvas(IMAGES[:1], canvas=(96, 96), fit=(70, 90), batch=1)
    assert sizes.tolist() == [[54, 90]]
    found, about = read(path, images, sizes)
    assert about["canvas"] == [96, 96] and about["fit"] == [70, 90]
    assert found["boxes"][found["valid"]].max() <= 90


def test_a_file_that_finds_something_else_is_refused(detector, tmp_path, monkeypatch):
    other = jax.tree.map(lambda x: 1.02 * x, detector.variables)
    monkeypatch.setattr(
        "fpn_jax.artifacts.export.detection_program",
        lambda model, _: detection_program(model, other),
    )
    monkeypatch.setattr(
        "fpn_jax.artifacts.export._compiled",
        lambda given: (
            lambda *batch: jax.device_get(
                jax.jit(detection_program(given.model, given.variables))(*batch)
            )
        ),
    )
    path = tmp_path / "detector.stablehlo"
    with pytest.raises(ValueError, match="does not find what the detector finds: "):
        export_detector(detector, path, "stablehlo", images=IMAGES)
    assert [*tmp_path.iterdir()] == []


def test_a_proof_holds_within_its_tolerances_alone():
    from fpn_jax.artifacts.proof import ExportProof

    proof = ExportProof(9, 0, 0.05, 1e-4, 0.99)
    assert proof.holds
    for field, value in {
        "unmatched": 1,
        "box_px": 0.051,
        "score": 1.1e-4,
        "mask_iou": 0.98,
    }.items():
        assert not proof._replace(**{field: value}).holds, field


def test_limits_are_those_of_the_file(tmp_path_factory, tmp_path):
    detector = load(directory_of(two_stage(), tmp_path_factory), max_detections=4)
    path = tmp_path / "detector.stablehlo"
    export_detector(detector, path, "stablehlo", images=IMAGES)
    images, sizes = on_canvas(IMAGES[:1], canvas=CANVAS, fit=CANVAS, batch=1)
    found, about = read(path, images, sizes)
    assert found["boxes"].shape == (1, 4, 4)
    assert about["thresholds"]["box_head.max_detections"] == 4
    assert dataclasses.is_dataclass(detector.model)
