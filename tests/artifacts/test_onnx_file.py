"""An ONNX file of every family, in a process that has onnxruntime and NumPy alone."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.artifacts.export import export_detector
from fpn_jax.artifacts.proof import on_canvas
from fpn_jax.compilation import call_once
from fpn_jax.inference import load
from tests.support.onnx_twin import assert_same
from tests.support.random_run import CANVAS, directory_of, picture, two_stage
from tests.support.tiny_detectors import DETECTORS, images_and_sizes

READER = Path(__file__).parents[2] / "experiments" / "read_artifact.py"


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", DETECTORS)
def test_each_family_finds_the_same(name, symbolic):
    model = DETECTORS[name]
    images, sizes = images_and_sizes()
    variables = call_once(model.init, jax.random.key(0), images, sizes)

    def detect(images, sizes):
        return model.apply(variables, images, sizes, method="detect")

    inputs = map(np.asarray, (images, sizes))
    assert_same(detect, *inputs, atol=1e-3, symbolic=symbolic)


def test_a_process_without_the_package_finds_the_same(tmp_path_factory, tmp_path):
    pytest.importorskip("onnxruntime")
    run = directory_of(two_stage(), tmp_path_factory)
    detector = load(run, score_threshold=0.01)
    pictures = [picture(60, 90), picture(96, 128, seed=1)]
    file = tmp_path / "detector.onnx"
    proof = export_detector(detector, file, "onnx", images=pictures, batch="dynamic")
    assert proof.detections > 0 and proof.holds
    images, sizes = on_canvas(pictures, canvas=CANVAS, fit=CANVAS, batch=3)
    np.savez(tmp_path / "in.npz", images=images, sizes=sizes)
    reader = subprocess.run(
        [sys.executable, READER, file, tmp_path / "in.npz", tmp_path / "out.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert reader.returncode == 0, reader.stderr
    description = json.loads(reader.stdout)
    assert [one["name"] for one in description["classes"]] == ["cat", "dog"]
    assert description["proof"]["unmatched"] == 0
    inputs = map(jnp.asarray, (images, sizes))
    wanted = detector.model.apply(detector.variables, *inputs, method="detect")
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_array_equal(found["valid"], wanted.valid)
        np.testing.assert_allclose(found["boxes"], wanted.boxes, atol=1e-3)
