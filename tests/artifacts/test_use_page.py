"""The readers of docs/use.md, as they stand there, beside the detector."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpn_jax import export
from fpn_jax.inference import load
from tests.support.random_run import directory_of, picture, two_stage

PAGE = Path(__file__).parents[2] / "docs" / "use.md"


def block(imported: str) -> str:
    """Returns the first code block that imports a package."""
    blocks = re.findall(r"^```python$(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return next(text for text in blocks if f"import {imported}" in text)


def test_both_readers_find_what_the_detector_finds(
    tmp_path_factory, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    run = directory_of(two_stage(), tmp_path_factory)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(60, 90)).save("photo.jpg", quality=95)
    options = ("--images", "photo.jpg", "--score-threshold", "0.01", "--batch", "2")
    for name in ("detector.onnx", "detector.stablehlo"):
        assert export.main([str(run), name, *options]) == 0
    wanted = load(run, score_threshold=0.01)("photo.jpg")
    assert len(wanted) > 3

    names: dict = {}
    exec(block("onnxruntime"), names)
    np.testing.assert_allclose(names["boxes"], wanted.boxes, atol=0.05)
    assert names["classes"] == wanted.class_names

    exec(block("json, zipfile"), names)
    valid = np.asarray(names["found"]["valid"][0])
    scores = np.asarray(names["found"]["scores"][0])[valid]
    np.testing.assert_allclose(scores, wanted.scores, atol=1e-4)
