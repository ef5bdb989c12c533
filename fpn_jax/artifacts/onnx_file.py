"""ONNX by jax2onnx: for onnxruntime and what else reads ONNX, NMS inside."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.extend
import numpy as np

from fpn_jax.artifacts.program import OUTPUTS, Batch, Program, abstract_inputs
from fpn_jax.artifacts.stablehlo import Run
from fpn_jax.ops.platforms import traced_for

_OPSET = 23  # jax2onnx's own; onnxruntime has it from 1.22 on
KEY = "fpn_jax"  # of the description among the file's properties


def write_onnx(
    program: Program, canvas: tuple[int, int], batch: Batch, path: Path
) -> Run:
    """Writes the program into an ONNX file, and returns what runs the file.

    Raises ValueError, one line, where jax2onnx or onnxruntime are not installed.
    """
    try:
        import onnx
        from jax2onnx import to_onnx
    except ImportError as error:
        raise ValueError(
            f"format: onnx needs the package {error.name!r}: pip install "
            "'fpn-jax[onnx]', then pip install --no-deps jax2onnx"
        ) from error
    inputs = abstract_inputs(canvas, batch)
    # Traced before jax2onnx sees it, which has its own `jax.numpy`: of other types.
    jaxpr = jax.make_jaxpr(traced_for("onnx", program))(*inputs)
    names = jax.eval_shape(program, *inputs).keys()
    function = jax.extend.core.jaxpr_as_fun(jaxpr)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of float64, which nothing here has
        model = to_onnx(
            lambda *arguments: tuple(function(*arguments)),
            [*inputs],
            model_name="fpn_jax",
            opset=_OPSET,
            input_names=["images", "sizes"],
            # A dictionary's arrays come by the alphabet.
            output_names=sorted(names),
        )
    onnx.save(model, path)
    return _runner(path)


def describe_onnx(path: Path, description: Mapping[str, Any]) -> None:
    """Adds the description to a written file, as the property `fpn_jax`."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: json.dumps(description)})
    onnx.save(model, path)


def _runner(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # unused constants are no news
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    assert set(names) <= set(OUTPUTS)

    def run(images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        found = session.run(names, {"images": images, "sizes": sizes})
        return dict(zip(names, map(np.asarray, found), strict=True))

    return run
