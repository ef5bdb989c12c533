"""YOLOX-nano's real weights as an ONNX file: COCO's AP by onnxruntime alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from fpn_jax import convert, export
from tests.support.real import real

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parents[2] / "experiments" / "yolox_onnx.py"


def test_the_exported_detector_has_the_average_precision_of_the_weights(tmp_path):
    pytest.importorskip("onnxruntime")
    file, coco = real("yolox_nano_coco.pth"), real("coco")
    run, out = tmp_path / "run", tmp_path / "nano.onnx"
    assert convert.main(["yolox", "yolox_nano", str(file), str(run)]) == 0
    assert export.main([str(run), str(out), "--format", "onnx"]) == 0
    images = coco / "val2017"
    records = coco / "annotations" / "instances_val2017.json"
    # In a folder without fpn_jax, which the script asserts it did not import.
    measured = subprocess.run(
        [sys.executable, SCRIPT, out, images, records],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert measured.returncode == 0, measured.stderr
    assert "AP 0.2839 AP50 0.4458 " in measured.stdout
