"""Precision, recall and F1 by the score from which detections are used.

COCO's figures look at all scores at once; whoever uses a detector needs one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fpn_jax.evaluation.confusion import by_image, overlaps

_THRESHOLDS = np.linspace(0, 1, 1001)


@dataclass(frozen=True)
class ScoreCurves:
    """Curves of the K classes that have objects, over T score thresholds.

    Precision is NaN where nothing reaches a threshold.
    """

    names: tuple[str, ...]  # K
    thresholds: np.ndarray  # [T], 0 … 1
    precision: np.ndarray  # [T, K]
    recall: np.ndarray  # [T, K]
    f1: np.ndarray  # [T, K], 2 * hits / (detections + objects)

    @property
    def best(self) -> int:
        """Row of the threshold with the highest mean F1; of equal ones the middle."""
        mean = self.f1.mean(axis=1)
        equal = np.flatnonzero(mean == mean.max())
        return int(equal[len(equal) // 2])


def score_curves(
    ground_truth: Mapping, results: Sequence[Mapping], *, iou_threshold: float = 0.5
) -> ScoreCurves | None:
    """Returns the curves of the boxes in COCO results; None without any object.

    In an image the result with the highest score takes first, of the objects of its
    class that are left, the one with the highest IoU, if that reaches `iou_threshold`.
    A result that takes none but lies in a crowd region of its class is not counted.
    """
    truth, found = _by_class(ground_truth["annotations"]), _by_class(results)
    names, columns = [], []
    for category in sorted(ground_truth["categories"], key=lambda row: row["id"]):
        own = truth.get(category["id"], {})
        objects = sum(not row.get("iscrowd") for rows in own.values() for row in rows)
        if objects:
            names.append(category["name"])
            results_of = found.get(category["id"], {})
            columns.append(_curves(own, results_of, objects, iou_threshold))
    if not columns:
        return None
    precision, recall, f1 = np.stack(columns, axis=-1)
    return ScoreCurves(tuple(names), _THRESHOLDS, precision, recall, f1)


def best_figures(curves: ScoreCurves | None) -> dict[str, float]:
    """Returns `F1`, and `F1/threshold`, `F1/precision`, `F1/recall` where it is best.

    They are means over classes, NaN where there are no curves. Precision leaves out
    classes of which nothing reaches the threshold.
    """
    if curves is None:
        return dict.fromkeys(
            ("F1", "F1/threshold", "F1/precision", "F1/recall"), float("nan")
        )
    row = curves.best
    exist = ~np.isnan(curves.precision[row])
    precision = curves.precision[row][exist].mean() if exist.any() else np.nan
    return {
        "F1": float(curves.f1[row].mean()),
        "F1/threshold": float(curves.thresholds[row]),
        "F1/precision": float(precision),
        "F1/recall": float(curves.recall[row].mean()),
    }


def _by_class(rows: Iterable[Mapping]) -> dict[int, dict[int, list[Mapping]]]:
    """Returns the annotations or results of each class, by their images."""
    classes: dict[int, list[Mapping]] = {}
    for row in rows:
        classes.setdefault(row["category_id"], []).append(row)
    return {category: by_image(own) for category, own in classes.items()}


def _curves(
    truth: Mapping, found: Mapping, objects: int, iou_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns precision, recall and F1 of one class at every threshold."""
    scores, hits = [], []
    for image, rows in found.items():
        for score, hit in _taken(rows, truth.get(image, []), iou_threshold):
            scores.append(score)
            hits.append(hit)
    order = np.argsort(np.negative(scores), kind="stable")
    total = np.concatenate([[0], np.cumsum(np.array(hits, int)[order])])
    # How many reach each threshold; their scores rise from the end.
    rising = np.sort(np.array(scores, np.float64))
    used = len(rising) - np.searchsorted(rising, _THRESHOLDS, side="left")
    right = total[used]
    precision = np.where(used > 0, right / np.maximum(used, 1), np.nan)
    return precision, right / objects, 2 * right / (used + objects)


def _taken(
    results: Sequence[Mapping], regions: Sequence[Mapping], iou_threshold: float
) -> Iterable[tuple[float, bool]]:
    """Yields the score of each result that counts, and whether it took an object."""
    results = sorted(results, key=lambda row: -row["score"])
    objects = [row for row in regions if not row.get("iscrowd")]
    crowds = [row for row in regions if row.get("iscrowd")]
    iou, in_crowd = overlaps(results, objects), overlaps(results, crowds)
    for number, result in enumerate(results):
        row = iou[number]
        if row.size and row.max() >= iou_threshold:
            iou[:, row.argmax()] = -1  # the others may not take it
            yield result["score"], True
        elif not (in_crowd[number] >= iou_threshold).any():
            yield result["score"], False
