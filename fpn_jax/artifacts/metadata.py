"""Metadata for the reader of an artifact, as plain JSON."""

import hashlib
from importlib import import_module
from typing import Any

import jax
import numpy as np

from fpn_jax.artifacts.program import Batch
from fpn_jax.detectors.fields import values_of
from fpn_jax.inference.predictor import Predictor

_LIMITS = ("score_threshold", "nms_threshold", "max_detections")


def describe(
    predictor: Predictor, canvas: tuple[int, int], batch: Batch, form: str
) -> dict[str, Any]:
    """Returns the description of an artifact, before it is proven."""
    return {
        "format": form,
        "fpn_jax": import_module("fpn_jax").__version__,
        "jax": jax.__version__,
        "weights_sha256": digest_of(predictor.variables),
        "batch": batch,
        "canvas": list(canvas),
        # Where the canvas is rounded up to multiples of 32, images fit the given one.
        "fit": list(predictor.canvas),
        "input": (
            "images: uint8 RGB [batch, height, width, 3]. Scale an image by the "
            "smaller of fit height / height and fit width / width, round its sides "
            "down, resize with OpenCV's INTER_LINEAR, and put it at the upper left of "
            "zeros. sizes: int32 [batch, 2], its height and width after that; 0, 0 "
            "where there is no image."
        ),
        "output": (
            "In pixels of the canvas, by falling score, rows with valid alone. boxes: "
            "x1, y1, x2, y2. labels: places in classes. masks: probabilities inside of "
            "the box. keypoints: x, y. Divide places by the scale"
            + (
                "."
                if predictor.box_scale == "common"
                else "s: size on the canvas / size of the image, for width and height."
            )
        ),
        "box_scale": predictor.box_scale,
        "classes": [category._asdict() for category in predictor.categories],
        "skeleton": [list(pair) for pair in predictor.skeleton],
        "thresholds": {
            name: value
            for limit in _LIMITS
            for name, value in values_of(predictor.model, limit).items()
        },
    }


def digest_of(variables: Any) -> str:
    """Returns the SHA-256 of all weights, by their names."""
    digest = hashlib.sha256()
    leaves = jax.tree_util.tree_flatten_with_path(jax.device_get(variables))[0]
    for path, leaf in sorted((jax.tree_util.keystr(p), leaf) for p, leaf in leaves):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{path} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
