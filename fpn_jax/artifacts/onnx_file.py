"""ONNX, for onnxruntime and what else reads it, suppression inside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpn_jax.artifacts.program import OUTPUTS, Batch, Program, abstract_inputs
from fpn_jax.artifacts.stablehlo import Run
from fpn_jax.ops.platforms import traced_for

KEY = "fpn_jax"  # of the description among the file's properties


def write_onnx(
    program: Program,
    canvas: tuple[int, int],
    batch: Batch,
    path: Path,
    *,
    threads: int = 0,
) -> Run:
    """Writes the program into an ONNX file, and returns what runs the file.

    It runs on so many threads; 0: on all cores. Raises ValueError, one line, where onnx
    or onnxruntime are not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"format: onnx needs the package {error.name!r}: pip install "
            "'fpn-jax[onnx]'"
        ) from error
    from fpn_jax.translation.translate import onnx_model

    images, sizes = abstract_inputs(canvas, batch)
    model = onnx_model(traced_for("onnx", program), {"images": images, "sizes": sizes})
    onnx.save(model, path)
    return onnx_runner(path, threads)


def describe_onnx(path: Path, description: Mapping[str, Any]) -> None:
    """Adds the description to a written file, as the property `fpn_jax`."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    form = {
        "opset": model.opset_import[0].version,
        "onnxruntime": onnxruntime.__version__,  # that it was proven by
    }
    onnx.helper.set_model_props(model, {KEY: json.dumps({**description, **form})})
    onnx.save(model, path)


def onnx_runner(path: Path, threads: int = 0) -> Run:
    """Returns a function that runs a file on `threads` threads; 0: on all cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # unused constants are no news
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    assert set(names) <= set(OUTPUTS)

    def run(images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        found: Any = session.run(names, {"images": images, "sizes": sizes})
        return dict(zip(names, found, strict=True))

    return run
