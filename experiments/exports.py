"""Every exported detector beside itself, from a process that has no fpn_jax.

    FPN_JAX_TEST_DATA=DIR python -m experiments.exports [DETECTOR …]

Three photographs of COCO's validation set, files of 1 and 4 images, every format. The
R-CNNs, RetinaNet and FCOS are torchvision's with random weights that find things in
these photographs, YOLOX-nano has its real weights, and `digits` is the model of the
default job as it is initialized. The columns are those of `ExportProof`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.artifacts.export import FORMATS, size_of
from fpn_jax.artifacts.metadata import describe
from fpn_jax.artifacts.program import abstract_inputs, detection_program
from fpn_jax.artifacts.proof import Run, compilations, prove_export
from fpn_jax.data.batch import padded_sides
from fpn_jax.data.given_images import read_image
from fpn_jax.inference import Predictor
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.training import Config
from fpn_jax.training.conversion import (
    load_yolox,
    run_from_torchvision,
    run_from_yolox,
)

DATA = Path(os.environ.get("FPN_JAX_TEST_DATA", ""))
PHOTOGRAPHS = ("000000397133.jpg", "000000376322.jpg", "000000357888.jpg")
CANVAS = (320, 480)
TORCHVISION = {
    "faster": "fasterrcnn_resnet50_fpn",
    "mask": "maskrcnn_resnet50_fpn",
    "keypoint": "keypointrcnn_resnet50_fpn",
    "retinanet": "retinanet_resnet50_fpn",
    "fcos": "fcos_resnet50_fpn",
}
DETECTORS = (*TORCHVISION, "yolox_nano", "digits")
READER = Path(__file__).with_name("read_artifact.py")


def main(names: Sequence[str]) -> None:
    images = [read_image(DATA / "coco" / "val2017" / name) for name in PHOTOGRAPHS]
    for name in names:
        detector = detector_called(name, images)
        for batch in (1, 4):
            compare(name, detector, images, batch)


def detector_called(name: str, images: Sequence[np.ndarray]) -> Predictor:
    if name == "digits":
        config = Config()
        canvas = config.data.canvas
        inputs = jnp.zeros((1, *padded_sides(canvas), 3)), jnp.array([canvas])
        variables = jax.jit(config.model.init)(jax.random.key(0), *inputs)
        found = Predictor(config.model, variables, canvas)
        return found.with_thresholds(score_threshold=0.01)
    if name == "yolox_nano":
        run = run_from_yolox(name, load_yolox(name, DATA / "yolox_nano_coco.pth"))
        return Predictor(run.config.model, run.variables, run.config.data.canvas)
    sides = {"min_size": CANVAS[0], "max_size": CANVAS[1]}
    model = lively_detector(TORCHVISION[name], images, **sides)
    run = run_from_torchvision(TORCHVISION[name], numpy_state(model))
    return Predictor(run.config.model, run.variables, CANVAS)


def compare(
    name: str, detector: Predictor, images: Sequence[np.ndarray], batch: int
) -> None:
    """Prints a line for each format."""
    program = detection_program(detector.model, detector.variables)
    sides = padded_sides(detector.canvas)
    ours = {
        name: remembered(run)
        for name, run in compilations(program, *abstract_inputs(sides, batch)).items()
    }

    for form, made in FORMATS.items():
        if form == "savedmodel" and find_spec("tensorflow") is None:
            print(f"{name} {form} {batch}: TensorFlow is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "detector"
            start = time.perf_counter()
            made.write(program, sides, batch, file)
            made.describe(file, describe(detector, sides, batch, form))
            seconds = time.perf_counter() - start
            proof = prove_export(
                ours,
                lambda pixels, sizes, file=file: read_elsewhere(file, pixels, sizes),
                images,
                canvas=sides,
                fit=detector.canvas,
                batch=batch,
            )
            size = size_of(file) / 1e6
        holds = "holds" if proof.holds else "DOES NOT HOLD"
        print(
            f"{name} {form} {batch}: {size:.1f} MB, {seconds:.0f} s; {proof}; {holds}",
            flush=True,
        )


def remembered(run: Run) -> Run:
    """Returns the same function, which runs once for each sizes of images."""
    known: dict[bytes, Mapping[str, np.ndarray]] = {}

    def found(pixels: np.ndarray, sizes: np.ndarray) -> Mapping[str, np.ndarray]:
        key = sizes.tobytes()
        if key not in known:
            known[key] = run(pixels, sizes)
        return known[key]

    return found


def read_elsewhere(
    file: Path, images: np.ndarray, sizes: np.ndarray
) -> dict[str, np.ndarray]:
    """Runs a file in another process, and returns its detections."""
    place = file.parent
    np.savez(place / "in.npz", images=images, sizes=sizes)
    subprocess.run(
        [sys.executable, READER, file, place / "in.npz", place / "out.npz"],
        check=True,
        cwd=place,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    with np.load(place / "out.npz") as found:
        return dict(found)


if __name__ == "__main__":
    main(sys.argv[1:] or DETECTORS)
