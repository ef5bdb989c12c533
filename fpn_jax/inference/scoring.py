"""COCO's figures of a detector that looks at images in its own way."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fpn_jax.data.example import Source, UnreadableImage
from fpn_jax.evaluation.coco import Measure
from fpn_jax.evaluation.figures import all_figures
from fpn_jax.inference.predictor import Predictor

_log = logging.getLogger(__name__)


def score(
    predictor: Predictor,
    source: Source,
    ground_truth: Mapping[str, Any],
    measures: Sequence[Measure],
) -> tuple[dict[str, float], list[dict], set[int]]:
    """Returns the figures, the detections, and the ids of the images that were read.

    The detections are COCO results.

    Objects of images that cannot be read count as missed; a warning names each.

    Args:
        predictor: by whose `each` every image is looked at.
        source: examples, with the categories of the predictor.
        ground_truth: annotation dictionary of the same images.
        measures: of `evaluation/coco.py`.
    """
    ids: list[int] = []

    def images() -> Iterator[np.ndarray]:
        for number in range(len(source)):
            try:
                example = source[number]
            except UnreadableImage as error:
                _log.warning("Skipped: %s", error)
                continue
            ids.append(example.image_id)
            yield example.image

    results: list[dict] = []
    for number, found in enumerate(predictor.each(images())):
        results += found.to_coco(ids[number])
    return all_figures(ground_truth, results, measures), results, set(ids)
