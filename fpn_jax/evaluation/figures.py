"""Every figure that results of a data set have."""

from collections.abc import Mapping, Sequence

from fpn_jax.evaluation.coco import BOXES, Measure, evaluate_results
from fpn_jax.evaluation.operating_point import best_figures, score_curves


def all_figures(
    ground_truth: Mapping, results: Sequence[Mapping], measures: Sequence[Measure]
) -> dict[str, float]:
    """Returns the figures of all measures, and F1 where boxes have classes."""
    metrics: dict[str, float] = {}
    for measure in measures:
        metrics |= evaluate_results(ground_truth, results, measure)
    if any(has_classes(measure) for measure in measures):
        metrics |= best_figures(score_curves(ground_truth, results))
    return metrics


def has_classes(measure: Measure) -> bool:
    """Whether a measure compares boxes class by class."""
    return measure.overlap == BOXES.overlap and measure.by_class
