"""A trained run, or a converted checkpoint, as a `Predictor`."""

import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from fpn_jax.choices import check_choice, check_count, check_fraction
from fpn_jax.data.example import Category
from fpn_jax.detectors.contract import facts, with_dtype, with_thresholds
from fpn_jax.inference.augmentations import parse_ways
from fpn_jax.inference.predictor import Canvas, Predictor
from fpn_jax.inference.tiles import Tiles
from fpn_jax.layers import Dtype
from fpn_jax.training.published import run_directory
from fpn_jax.training.run import check_detects, load_run

_DTYPES = ("float32", "bfloat16", "float16")


def load(
    run: str | Path,
    checkpoint: str | int = "best",
    *,
    dtype: Dtype = None,
    score_threshold: float | None = None,
    nms_threshold: float | None = None,
    max_detections: int | None = None,
    canvas: Canvas = "fixed",
    batch_size: int = 8,
    tiles: int | None = None,
    overlap: float = 0.2,
    tta: str | Sequence[str | float] = "",
    experiment: str | Path | None = None,
    trust: bool = False,
) -> Predictor:
    """Returns the detector of a run directory, ready to be called with images.

    Args:
        run: directory written by training or by `fpn-jax convert`, or the
            name of a published model (`fpn-jax models`), whose weights are downloaded
            once.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
        dtype: of the network's computation, "bfloat16" for speed on TPU and GPU; boxes,
            scores and suppression stay float32.
        score_threshold: lowest score of a detection. This and the next two are by
            default the model's own.
        nms_threshold: IoU above which the lower of two boxes of a class is dropped.
        max_detections: of an image; the model's own is that of a tile.
        canvas: "fixed" or torchvision's "exact"; see `Predictor`.
        batch_size: images that the network sees at once on a fixed canvas.
        tiles: side in pixels of the squares that an image is cut into, for small
            objects of large images; None: it is looked at as a whole.
        overlap: share of its side that a tile has in common with its neighbors.
        tta: views that are looked at as well, as "flip,0.8,1.2" or ["flip", 0.8]: the
            mirror image, and canvases of other sizes (test-time augmentation).
        experiment: file that defines the classes of the run that are not of fpn_jax;
            nothing is imported unasked.
        trust: take them from the copy that the run keeps.

    Raises ValueError for an argument that means nothing, before the run is read.
    """
    check_choice("canvas", canvas, ("fixed", "exact"))
    check_count("batch_size", batch_size)
    for name, value in (
        ("score_threshold", score_threshold),
        ("nms_threshold", nms_threshold),
    ):
        if value is not None:
            check_fraction(name, value)
    if max_detections is not None:
        check_count("max_detections", max_detections)
    cut = None if tiles is None else Tiles(tiles, overlap)
    ways = parse_ways(tta)
    dtype_name = None if dtype is None else _dtype_name(dtype)
    _check_places(run, experiment, trust)
    step = _checkpoint_name(checkpoint)
    place = run_directory(run)
    loaded = load_run(place, step, experiment=experiment, trust=trust)
    model = loaded.config.model
    check_detects(model, run)
    _check_named(model, loaded.categories, run)
    if dtype_name is not None:
        model = with_dtype(model, dtype_name)
    model = with_thresholds(
        model,
        score_threshold=score_threshold,
        nms_threshold=nms_threshold,
        max_detections=max_detections,
    )
    return Predictor(
        model,
        loaded.variables,
        loaded.config.data.canvas,
        loaded.categories,
        loaded.skeleton,
        padding=canvas,
        batch_size=batch_size,
        box_scale=loaded.config.data.box_scale,
        tiles=cut,
        ways=ways,
        max_detections=max_detections,
    )


def _dtype_name(dtype: Any) -> str:
    """Returns the name of a type given by name or as JAX's or NumPy's."""
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = dtype
    check_choice("dtype", name, _DTYPES)
    return name


def _check_places(run: Any, experiment: Any, trust: Any) -> None:
    if not isinstance(run, str | os.PathLike):
        raise ValueError(f"run: {run!r} given, must be the directory of a run")
    if experiment is not None:
        path = isinstance(experiment, str | os.PathLike)
        if not path or not Path(experiment).is_file():
            raise ValueError(f"experiment: no file {str(experiment)!r}")
    if not isinstance(trust, bool):
        raise ValueError(f"trust: {trust!r} given, must be True or False")


def _check_named(
    model: nn.Module, categories: Sequence[Category], run: str | os.PathLike
) -> None:
    """Raises ValueError where some labels of the model have a name, and others none."""
    needed = facts(model).num_classes or 1
    if 0 < len(categories) < needed:
        raise ValueError(
            f"{Path(run) / 'categories.json'}: {len(categories)} classes, the model "
            f"has {needed}"
        )


def _checkpoint_name(checkpoint: Any) -> str:
    if isinstance(checkpoint, Integral) and not isinstance(checkpoint, bool):
        return str(checkpoint)
    if not isinstance(checkpoint, str):
        raise ValueError(
            f"checkpoint: {checkpoint!r} given, must be 'best', 'latest' or a step"
        )
    return checkpoint
