"""The detections of several views of an image, merged into one for each object."""

from collections.abc import Sequence

import jax
import numpy as np

from fpn_jax.types import Detections


def merged(
    parts: Sequence[Detections],
    *,
    threshold: float,
    smaller: bool = False,
    cut: np.ndarray | None = None,
    max_detections: int | None = None,
) -> Detections:
    """Returns the detections of all parts that greedy suppression keeps.

    Higher scores drop lower ones of their class in other parts, whose boxes overlap
    them by more than the threshold. Two objects that one part tells apart stay apart.
    They come by falling score.

    Args:
        parts: views of one image, NumPy arrays in its pixels, without padding.
        threshold: of the overlap, IoU or what `smaller` says.
        smaller: whether overlap is the share of the smaller box that both cover (IoS):
            so a part of an object is dropped beside the whole.
        cut: [N] bool, of all parts' rows: objects that a border may have cut. Those
            that are not cut come before them, whatever their scores.
        max_detections: most that are returned; None: all.
    """
    found = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
    part = np.repeat(np.arange(len(parts)), [len(x.scores) for x in parts])
    cut = np.zeros(len(found.scores), bool) if cut is None else cut
    left = np.ones(len(found.scores), bool)
    kept = []
    for row in np.lexsort([-found.scores, cut]):
        if left[row]:
            kept.append(int(row))
            overlap = _overlap(found.boxes[row], found.boxes, smaller)
            apart = (found.labels != found.labels[row]) | (part == part[row])
            left &= (overlap <= threshold) | apart
    rows = np.array(sorted(kept, key=lambda row: -found.scores[row]), int)
    rows = rows[:max_detections]
    return jax.tree.map(lambda x: x[rows], found)


def _overlap(box: np.ndarray, others: np.ndarray, smaller: bool) -> np.ndarray:
    """Returns the overlap [M] of a box with others [M, 4]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    intersection = np.maximum(high - low, 0).prod(axis=1)
    area, areas = (np.prod(x[..., 2:] - x[..., :2], axis=-1) for x in (box, others))
    whole = np.minimum(area, areas) if smaller else area + areas - intersection
    return intersection / np.maximum(whole, 1e-9)
