"""What the fixed canvas changes in detections beside the exact one, step by step.

    python -m experiments.canvas PHOTOGRAPH… [--model NAME] [--json FILE]

On an exact canvas a photograph is resized in float32 as torch does it and padded to the
next multiples of 32, as torchvision does; on a fixed one it is resized in bytes by
OpenCV and padded to 800 x 1344, lying or upright. Three steps lie between them: torch's
pixels rounded to bytes, OpenCV's bytes in their place, the other padding. Each
detection before a step is paired with the one of its class behind it that overlaps it
most.

The detector is torchvision's by name, with random weights scaled on photographs of
scikit-learn so that it finds tens of objects (`fpn_jax/parity/random_detectors.py`).
Scaled so far up, it tells boxes apart by less than a byte, and cannot judge the resize:
the padding is what it measures. Needs the extra `test`.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro

from fpn_jax.choices import check_choice
from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.image import decode_image
from fpn_jax.data.transforms import fit_scale_either_way, resize, resize_as_torch
from fpn_jax.inference import Predictor
from fpn_jax.runtime import set_up
from fpn_jax.types import Detections
from fpn_jax.zoo.torchvision import TORCHVISION

_SAME = 0.9  # IoU of two boxes of one object


@dataclasses.dataclass(frozen=True)
class Arguments:
    photographs: tyro.conf.Positional[tuple[Path, ...]]
    model: str = "fasterrcnn_resnet50_fpn"
    json: Path | None = None  # where to write the figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("canvas"):
        set_up()
        chosen = parse(Arguments, arguments, command="canvas", description=__doc__)
        check_choice("model", chosen.model, TORCHVISION)
        if not chosen.photographs:
            raise ValueError("photographs: none given, expected one or more files")
        images = [decode_image(p.read_bytes(), str(p)) for p in chosen.photographs]
        report = compare(chosen.model, images)
        for step, values in report.items():
            print(step, ", ".join(f"{k} {v:.5g}" for k, v in values.items()))
        if chosen.json is not None:
            chosen.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def compare(name: str, images: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Returns the figures of each step over photographs, uint8 [H, W, 3]."""
    run = random_run(name)
    model, canvas = run.config.model, run.config.data.canvas
    exact, fixed = (
        Predictor(model, run.variables, canvas, padding=way, batch_size=1)
        for way in ("exact", "fixed")
    )
    steps: dict[str, list] = {"rounding": [], "OpenCV": [], "padding": []}
    for image in images:
        # At the size of the canvas already: both ways leave it there.
        scale = fit_scale_either_way(image.shape, canvas)
        by_torch = resize_as_torch(image.astype(np.float32), scale)
        by_opencv = resize(image, scale)
        found = [
            exact(by_torch),
            exact(np.rint(by_torch).astype(np.uint8)),
            exact(by_opencv),
            fixed(by_opencv),
        ]
        for step, before, after in zip(steps, found[:-1], found[1:], strict=True):
            steps[step].append(differences(before, after))
    return {step: figures(pairs) for step, pairs in steps.items()}


def figures(pairs: Sequence[tuple]) -> dict[str, float]:
    """Returns the figures of a step from its differences in each photograph."""
    ious, scores, boxes = map(np.concatenate, zip(*pairs, strict=True))
    same = ious > _SAME
    return {
        "detections": len(ious),
        f"matched_above_{_SAME}": float(same.mean()),
        **quantiles("score", scores[same]),
        **quantiles("box_px", boxes[same]),
    }


def random_run(name: str):
    """Returns the converted run of torchvision's detector with random weights."""
    from fpn_jax.benchmarks.inputs import photographs_of_three_sizes
    from fpn_jax.parity.layouts import numpy_state
    from fpn_jax.parity.random_detectors import lively_detector
    from fpn_jax.training.conversion import run_from_torchvision

    theirs = lively_detector(name, photographs_of_three_sizes())
    return run_from_torchvision(name, numpy_state(theirs))


def differences(
    exact: Detections, fixed: Detections
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns IoU, score and box difference of each exact detection's nearest, [D]."""
    low = np.maximum(exact.boxes[:, None, :2], fixed.boxes[None, :, :2])
    high = np.minimum(exact.boxes[:, None, 2:], fixed.boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(x.boxes[:, 2:] - x.boxes[:, :2], axis=1) for x in (exact, fixed)]
    iou = shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-6)
    iou = np.where(exact.labels[:, None] == fixed.labels, iou, 0)
    if not iou.size:
        return (np.zeros(len(exact.scores)),) * 3
    rows, nearest = np.arange(len(iou)), iou.argmax(axis=1)
    return (
        iou[rows, nearest],
        np.abs(exact.scores - fixed.scores[nearest]),
        np.abs(exact.boxes - fixed.boxes[nearest]).max(axis=1),
    )


def quantiles(name: str, values: np.ndarray) -> dict[str, float]:
    """Returns median and 95th percentile; NaN of nothing."""
    return {
        f"{name}_{label}": float(np.quantile(values, share)) if len(values) else np.nan
        for label, share in (("median", 0.5), ("p95", 0.95))
    }


if __name__ == "__main__":
    sys.exit(main())
