"""From a detector to a proven file."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fpn_jax.artifacts.metadata import describe
from fpn_jax.artifacts.onnx_file import describe_onnx, write_onnx
from fpn_jax.artifacts.program import Batch, abstract_inputs, detection_program
from fpn_jax.artifacts.proof import ExportProof, compilations, prove_export
from fpn_jax.artifacts.savedmodel import describe_savedmodel, write_savedmodel
from fpn_jax.artifacts.stablehlo import Run, describe_stablehlo, write_stablehlo
from fpn_jax.choices import check_choice
from fpn_jax.data.batch import padded_sides
from fpn_jax.detectors.fields import values_of
from fpn_jax.inference.predictor import Predictor


class _Format(NamedTuple):
    write: Callable[..., Run]
    describe: Callable[[Path, Mapping[str, Any]], None]


FORMATS = {
    "stablehlo": _Format(write_stablehlo, describe_stablehlo),
    "onnx": _Format(write_onnx, describe_onnx),
    "savedmodel": _Format(write_savedmodel, describe_savedmodel),
}
_PROVEN_BATCH = 2  # of a file that takes any


def export_detector(
    predictor: Predictor,
    path: Path,
    form: str,
    *,
    images: Sequence[np.ndarray],
    batch: Batch = 1,
    canvas: tuple[int, int] | None = None,
) -> ExportProof:
    """Writes a detector into a file, and returns how its detections differ.

    Args:
        predictor: the detector.
        path: of the file; it appears when it is whole and proven.
        form: one of `FORMATS`.
        images: pictures, uint8 [H, W, 3], on which the file is held against it.
        batch: images that it takes at once, or "dynamic": any number.
        canvas: height and width that images are scaled to fit; by default those that
            it was trained on. The program's are the next multiples of 32.

    Raises ValueError, one line, where the file does not find what the detector finds.
    """
    check_choice("format", form, tuple(FORMATS))
    if form == "onnx":
        _check_float32(predictor)
    fit = predictor.canvas if canvas is None else canvas
    sides = padded_sides(fit)
    program = detection_program(predictor.model, predictor.variables)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as place:
        written = Path(place) / path.name
        run = FORMATS[form].write(program, sides, batch, written)
        together = _PROVEN_BATCH if batch == "dynamic" else batch
        proof = prove_export(
            compilations(program, *abstract_inputs(sides, together)),
            run,
            images,
            canvas=sides,
            fit=fit,
            batch=together,
        )
        if not proof.holds:
            raise ValueError(
                f"{path}: it does not find what the detector does: {proof}"
            )
        description = describe(predictor, sides, batch, form) | {"fit": list(fit)}
        FORMATS[form].describe(written, description | {"proof": proof._asdict()})
        shutil.move(written, path)
    return proof


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of the files in a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _check_float32(predictor: Predictor) -> None:
    others = {*values_of(predictor.model, "dtype").values()} - {None, "float32"}
    if others:
        raise ValueError(
            f"dtype: the model computes in {others.pop()}, which ONNX files do not: "
            "give float32"
        )
