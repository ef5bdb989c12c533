"""The files of a run for people to look at: predictions, curves, samples."""

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from fpn_jax.data.bitmaps import decode_segmentation
from fpn_jax.data.example import Example
from fpn_jax.data.sources import decodable
from fpn_jax.evaluation.coco import PROPOSALS, accumulate
from fpn_jax.evaluation.confusion import confusion_matrix
from fpn_jax.evaluation.figures import has_classes
from fpn_jax.evaluation.operating_point import score_curves
from fpn_jax.training.config import Config, OptimizerConfig
from fpn_jax.training.encoding import encode, foreign_names
from fpn_jax.training.metrics import read_metrics, write_table
from fpn_jax.training.validation import Validation
from fpn_jax.training.whole_files import replace_text
from fpn_jax.types import Detections
from fpn_jax.visualize.pictures import sample_grid, save_image
from fpn_jax.visualize.plots import (
    plot_class_precision,
    plot_confusion,
    plot_losses,
    plot_precision_recall,
    plot_validation,
)
from fpn_jax.visualize.score_plots import plot_scores

_SAMPLES = 12
_SHOWN_SCORE = 0.5  # where no object tells a better one
_SHOWN_OBJECTNESS = 0.9  # proposals are many; these are the ones to look at


def write_curves(run: Path, validation: Validation) -> None:
    """Writes what a run has by step: `results.csv`, plots of losses and of precision.

    A run that goes on has them, too.
    """
    plots = run / "plots"
    plots.mkdir(exist_ok=True)
    rows = read_metrics(run)
    write_table(run, rows)
    plot_losses(rows).savefig(plots / "losses.png")
    by_class = PROPOSALS not in validation.measures
    name = "average_precision" if by_class else "average_recall"
    if any("AR@100" in row or "AP" in row for row in rows):
        plot_validation(rows).savefig(plots / f"{name}.png")


def last_lines(
    run: Path,
    config: Config,
    metrics: Mapping[str, float],
    step: int,
    best: int | None,
) -> list[str]:
    """Says how a run ended: its metric, where its best checkpoint is, and what next.

    The score threshold is of the best checkpoint, which other commands read. They need
    consent where the model is the user's own.
    """
    name = config.evaluation.best
    value = metrics.get(name, float("nan"))
    rows = {row["step"]: row for row in read_metrics(run)}
    row = rows.get(best, {})
    of_best = row.get(name if name != "loss" else "validation/loss")
    at_best = "" if of_best is None else f", {name} {of_best:.3f}"
    given = shlex.quote(str(run))
    has_objects = (row.get("F1") or 0) > 0
    advised = f" --score-threshold {row['F1/threshold']:.3f}" if has_objects else ""
    tree = encode(dataclasses.replace(config, optimizer=OptimizerConfig()))
    trust = " --trust" if foreign_names(tree) else ""
    return [
        f"{name} {value:.3f} at step {step}; the best checkpoint is "
        f"{run / 'checkpoints' / 'best'}, of step {best}{at_best}",
        f"metrics are in {run / 'results.csv'}, plots of step {step} in "
        f"{run / 'plots'}",
        f"next: fpn-jax predict {given} IMAGE…{trust}{advised}",
    ]


def write_report(run: Path, validation: Validation) -> np.ndarray:
    """Writes `predictions.json` (COCO results) and `plots/*.png` of a run.

    Returns the picture of the samples.
    """
    replace_text(run / "predictions.json", json.dumps(validation.results))
    write_curves(run, validation)
    return draw_validation(run / "plots", validation)


def draw_validation(plots: Path, validation: Validation) -> np.ndarray:
    """Writes `*.png` of what was found in the validation images: precision, samples.

    Returns the picture of the samples. It and the confusion matrix show detections from
    the score on where F1 is highest.
    """
    by_class = any(map(has_classes, validation.measures))
    shown = _SHOWN_SCORE if by_class else _SHOWN_OBJECTNESS
    truth, results = validation.ground_truth, validation.results
    accumulated = accumulate(truth, results, validation.measures[0])
    plot_precision_recall(accumulated).savefig(plots / "precision_recall.png")
    if by_class:
        figure = plot_class_precision(accumulated)
        figure.savefig(plots / "precision_recall_by_class.png")
        if (curves := score_curves(truth, results)) is not None:
            plot_scores(curves).savefig(plots / "f1.png")
            shown = float(curves.thresholds[curves.best])
        matrix = confusion_matrix(truth, results, score_threshold=shown)
        title = f"scores from {shown:.3f}, IoU from 0.5"
        figure = plot_confusion(matrix, accumulated.names, title=title)
        figure.savefig(plots / "confusion.png")
    samples = _samples(validation, shown, by_class=by_class)
    save_image(plots / "samples.png", samples)
    return samples


def _samples(validation: Validation, shown: float, *, by_class: bool) -> np.ndarray:
    """Returns the first readable images with their true boxes and what was found.

    Detections have a score of `shown` or more.
    """
    source = validation.source
    examples = list(islice(decodable(source), _SAMPLES))
    found = {example.image_id: [] for example in examples}
    for result in validation.results:
        if result["image_id"] in found and result["score"] >= shown:
            found[result["image_id"]].append(result)
    labels = {category.id: n for n, category in enumerate(validation.categories)}
    return sample_grid(
        [example.image for example in examples],
        [example.boxes for example in examples],
        [_detections(example, found[example.image_id], labels) for example in examples],
        names=[category.name for category in validation.categories],
        true_labels=[example.labels for example in examples] if by_class else (),
        skeleton=source.keypoint_spec.skeleton if source.keypoint_spec else (),
    )


def _detections(
    example: Example, results: Sequence[Mapping], labels: Mapping[int, int]
) -> Detections:
    """Returns the COCO results of one image as detections in its pixels."""
    xywh = np.reshape([result["bbox"] for result in results], (-1, 4))
    masks = keypoints = None
    if results and "segmentation" in results[0]:
        size = example.image.shape[:2]
        masks = [
            decode_segmentation(result["segmentation"], *size) for result in results
        ]
    if results and "keypoints" in results[0]:
        flat = np.array([result["keypoints"] for result in results])
        keypoints = flat.reshape(len(results), -1, 3)[..., :2]
    return Detections(
        boxes=np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]),
        scores=np.array([result["score"] for result in results]),
        labels=np.array([labels[result["category_id"]] for result in results], int),
        valid=np.ones(len(results), bool),
        masks=masks,
        keypoints=keypoints,
    )
