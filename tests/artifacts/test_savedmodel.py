"""A SavedModel beside the detector, in a process that has TensorFlow alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.artifacts.export import export_detector
from fpn_jax.artifacts.proof import on_canvas
from fpn_jax.inference import load
from tests.support.elsewhere import read_elsewhere
from tests.support.random_run import CANVAS, directory_of, picture, with_masks

pytest.importorskip("tensorflow")

PICTURES = [picture(60, 90), picture(96, 128, seed=1), picture(50, 30, seed=2)]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load(directory_of(with_masks(), tmp_path_factory), score_threshold=0.01)


@pytest.mark.parametrize("batch", [2, "dynamic"])
def test_a_process_without_the_package_finds_the_same(detector, batch, tmp_path):
    folder = tmp_path / "detector"
    proof = export_detector(
        detector, folder, "savedmodel", images=PICTURES, batch=batch
    )
    assert proof.detections > 0 and proof.holds
    rows = 3 if batch == "dynamic" else batch
    images, sizes = on_canvas(PICTURES[:rows], canvas=CANVAS, fit=CANVAS, batch=rows)
    found, description = read_elsewhere(folder, images, sizes, tmp_path)
    assert description["classes"][0]["name"] == "cat"
    assert description["proof"]["unmatched"] == 0
    inputs = map(jnp.asarray, (images, sizes))
    wanted = detector.model.apply(detector.variables, *inputs, method="detect")
    wanted = jax.device_get(wanted)
    assert wanted.valid.any()
    np.testing.assert_array_equal(found["valid"], wanted.valid)
    np.testing.assert_array_equal(found["labels"], wanted.labels)
    for values in ("boxes", "scores", "masks"):
        np.testing.assert_allclose(found[values], getattr(wanted, values), atol=2e-4)
