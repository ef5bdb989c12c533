"""A file of `fpn-jax export` as an engine: its description says how it is fed."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fpn_jax.artifacts.onnx_file import KEY, onnx_runner
from fpn_jax.artifacts.savedmodel import savedmodel_runner
from fpn_jax.artifacts.stablehlo import Run, stablehlo_runner
from fpn_jax.data.example import Category
from fpn_jax.data.transforms import fit_scale, resize, scaled_sides
from fpn_jax.serving.engine import Engine, Placed, usual_batch_size
from fpn_jax.types import Detections


def is_artifact(path: Path) -> bool:
    """Whether it is a file, or a directory of TensorFlow's; runs are neither."""
    return path.is_file() or (path / "saved_model.pb").is_file()


def artifact_engine(path: Path, batch_size: int | None = None) -> Engine:
    """Returns the detector of an exported file, on its one canvas.

    Args:
        path: a StableHLO or ONNX file, or the directory of a SavedModel.
        batch_size: images at once, of a file that takes any number; None:
            `usual_batch_size`.

    Raises ValueError, one line, for a file of something else, for a batch size that the
    file does not have, and where the package that runs the file is not installed.
    """
    run, about = _opened(path)
    try:
        canvas, fit = tuple(about["canvas"]), tuple(about["fit"])
        own = None if about["batch"] == "dynamic" else int(about["batch"])
        categories = tuple(Category(**each) for each in about["classes"])
        skeleton = tuple((a, b) for a, b in about["skeleton"])
        common = about["box_scale"] == "common"
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its description is not whole: {error!r}") from error
    if own is not None and batch_size not in (None, own):
        raise ValueError(f"batch-size: {batch_size} given, {path} takes {own}")

    def place(image: np.ndarray) -> Placed:
        size = image.shape[:2]
        scale = fit_scale(size, fit)
        there = (size[0] * scale, size[1] * scale)
        sides = there if common else scaled_sides(size, scale)
        return Placed(canvas, resize(image, scale), sides, size)

    return Engine(
        path.stem,
        (canvas,),
        own or batch_size or usual_batch_size(),
        place,
        lambda images, sizes: Detections(**run(images, sizes)),
        categories,
        skeleton,
    )


def _opened(path: Path) -> tuple[Run, dict[str, Any]]:
    """Returns the function that runs a file, and the description of the file."""
    ways: tuple[Callable[[Path], tuple[Run, dict] | None], ...]
    ways = (_savedmodel, _stablehlo, _onnx)
    try:
        for way in ways:
            if (found := way(path)) is not None:
                return found
    except ImportError as error:
        raise ValueError(
            f"{path}: needs the package {error.name!r}, which is not installed"
        ) from error
    except Exception as error:  # three libraries have three kinds of errors
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be opened: {said}") from error
    raise ValueError(f"{path}: neither a run nor a file of `fpn-jax export`")


def _savedmodel(path: Path) -> tuple[Run, dict] | None:
    about = path / "assets.extra" / "metadata.json"
    if not about.is_file():
        return None
    return savedmodel_runner(path), json.loads(about.read_text("utf-8"))


def _stablehlo(path: Path) -> tuple[Run, dict] | None:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if not {"program", "metadata.json"} <= {*archive.namelist()}:
            return None
        about = json.loads(archive.read("metadata.json"))
    return stablehlo_runner(path), about


def _onnx(path: Path) -> tuple[Run, dict] | None:
    if path.suffix != ".onnx":
        return None
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), providers=providers)
    about = session.get_modelmeta().custom_metadata_map.get(KEY)
    return None if about is None else (onnx_runner(path), json.loads(about))
