"""How fast exports run beside torchvision, eager and exported by itself.

    python -m experiments.export_speed [NAME …] [--side 800] [--rounds 5]

NAMEs are torchvision's detectors. Each has random weights that find things, and sees
one photograph (scikit-learn's, 427 x 640) scaled to a shorter side of `--side`, on a
canvas of the same size. Programs take turns on the CPU, a round each, with two threads:
a machine that others use slows them alike. Columns: our ONNX file, the same program
compiled by XLA, torchvision as it is with its compiled operators, torchvision's own
ONNX file.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime

from fpn_jax.artifacts.onnx_file import write_onnx
from fpn_jax.artifacts.pictures import sample_pictures
from fpn_jax.artifacts.program import detection_program
from fpn_jax.artifacts.proof import on_canvas
from fpn_jax.data.batch import padded_sides
from fpn_jax.data.transforms import resize, scaled_sides
from fpn_jax.parity.layouts import image_tensor, numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.training.conversion import run_from_torchvision

NAMES = (
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
)
THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--side", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")  # as the others
    torch, _ = import_torchvision(compiled=True)
    torch.set_num_threads(THREADS)
    image = sample_pictures()[0]
    scale = chosen.side / min(image.shape[:2])
    print(f"{'seconds an image':<28} {'ours':>8} {'jit':>8} {'eager':>8} {'theirs':>8}")
    for name in chosen.names:
        with tempfile.TemporaryDirectory() as place:
            programs = _programs(name, image, scale, Path(place))
        seconds = _taking_turns(programs, chosen.rounds)
        print(f"{name:<28}", *(f"{x:8.3f}" for x in seconds), flush=True)


def _programs(
    name: str, image: np.ndarray, scale: float, place: Path
) -> list[Callable[[], Any] | None]:
    """Returns our export, ours compiled by XLA, torchvision's, and its export."""
    torch, _ = import_torchvision()
    sides = scaled_sides(image.shape, scale)
    model = lively_detector(name, [image], min_size=min(sides), max_size=max(sides))
    run = run_from_torchvision(name, numpy_state(model))
    canvas = padded_sides(sides)
    program = detection_program(run.config.model, run.variables)
    ours = write_onnx(program, canvas, 1, place / "ours.onnx", threads=THREADS)
    pixels, sizes = on_canvas([image], canvas=canvas, fit=sides, batch=1)
    compiled = jax.jit(program)
    tensor = image_tensor(resize(image, scale))

    def eager() -> Any:
        with torch.inference_mode():
            return model([tensor])

    return [
        lambda: ours(pixels, sizes),
        lambda: jax.block_until_ready(compiled(pixels, sizes)),
        eager,
        _exported_by_torch(model, tensor, place / "theirs.onnx"),
    ]


def _exported_by_torch(model: Any, tensor: Any, path: Path) -> Callable[[], Any] | None:
    torch, _ = import_torchvision()
    try:
        torch.onnx.export(model, ([tensor],), str(path), opset_version=17, dynamo=False)
    except Exception as error:
        print(f"torch.onnx.export: {str(error).splitlines()[0]}")
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = THREADS, 3
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: tensor.numpy()}
    return lambda: session.run(None, feed)


def _taking_turns(programs: list[Callable[[], Any] | None], rounds: int) -> list[float]:
    """Returns the median of each program's seconds; NaN where there is none."""
    seconds: list[list[float]] = [[] for _ in programs]
    for number in range(rounds + 1):
        for program, taken in zip(programs, seconds, strict=True):
            start = time.perf_counter()
            if program is not None:
                program()
            if number:  # the first compiles
                taken.append(time.perf_counter() - start)
    return [
        statistics.median(taken) if program is not None else float("nan")
        for program, taken in zip(programs, seconds, strict=True)
    ]


if __name__ == "__main__":
    main()
