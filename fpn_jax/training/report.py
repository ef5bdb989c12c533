"""What a run leaves to look at: predictions, curves, samples."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from fpn_jax.data.example import Source
from fpn_jax.data.sources import readable
from fpn_jax.evaluation.coco import accumulate
from fpn_jax.training.metrics import read_metrics
from fpn_jax.visualize import (
    plot_average_recall,
    plot_losses,
    plot_precision_recall,
    sample_grid,
    save_image,
)

_SAMPLES = 12
_SHOWN_SCORE = 0.9  # proposals are many; these are the ones to look at


def write_report(
    run: Path, source: Source, ground_truth: Mapping, results: Sequence[Mapping]
) -> None:
    """Writes `predictions.json` (COCO results) and `plots/*.png` of a run."""
    (run / "predictions.json").write_text(json.dumps(results))
    plots = run / "plots"
    plots.mkdir(exist_ok=True)
    rows = read_metrics(run)
    plot_losses(rows).savefig(plots / "losses.png")
    plot_average_recall(rows).savefig(plots / "average_recall.png")
    figure = plot_precision_recall(accumulate(ground_truth, results))
    figure.savefig(plots / "precision_recall.png")
    save_image(plots / "samples.png", _samples(source, results))


def _samples(source: Source, results: Sequence[Mapping]) -> np.ndarray:
    """Returns the first readable images with their true and found boxes."""
    examples = list(islice(readable(source), _SAMPLES))
    found = {example.image_id: [] for example in examples}
    for result in results:
        if result["image_id"] in found and result["score"] >= _SHOWN_SCORE:
            found[result["image_id"]].append(result)
    boxes = [
        np.reshape([r["bbox"] for r in found[example.image_id]], (-1, 4))
        for example in examples
    ]
    return sample_grid(
        [example.image for example in examples],
        [example.boxes for example in examples],
        [np.hstack([box[:, :2], box[:, :2] + box[:, 2:]]) for box in boxes],
        [np.array([r["score"] for r in found[e.image_id]]) for e in examples],
    )
