"""What counts as the same detection, and what as a tie."""

import numpy as np

from fpn_jax.parity.prove import count_ties, match_detections
from fpn_jax.types import Detections


def found(box, score=0.5, label=0, mask=None) -> Detections:
    masks = None if mask is None else np.asarray(mask, bool)[None]
    return Detections(
        boxes=np.array([box], np.float32),
        scores=np.array([score], np.float32),
        labels=np.array([label]),
        valid=np.ones(1, bool),
        masks=masks,
    )


def test_a_box_is_matched_within_the_tolerances_only():
    ours = found([10, 10, 40, 50])
    assert match_detections(ours, found([10.04, 10, 40, 50], 0.50009)) == [(0, 0)]
    assert not match_detections(ours, found([10.06, 10, 40, 50]))
    assert not match_detections(ours, found([10, 10, 40, 50], 0.5002))
    assert not match_detections(ours, found([10, 10, 40, 50], label=1))


def test_overlapping_boxes_of_equal_scores_are_a_tie():
    ours = found([10, 10, 40, 50])
    assert count_ties(ours, found([12, 10, 42, 50]), []) == 1
    assert count_ties(ours, found([12, 10, 42, 50], 0.50001), []) == 0
    assert count_ties(ours, found([12, 10, 42, 50], label=1), []) == 0
    assert count_ties(ours, found([40, 10, 70, 50]), []) == 0


def test_masks_of_one_box_are_a_tie_where_its_corner_is_cut_to_another_pixel():
    low, high = np.zeros((64, 64)), np.zeros((64, 64))
    low[9:20], high[10:20] = 1, 1
    # Grown by 30 / 28 the box begins at 9.9996 or at 10.0003.
    corner = 10 + 28 / 28
    ours = found([0, corner - 4e-4, 28, corner + 28], 0.5, mask=low)
    theirs = found([0, corner + 3e-4, 28, corner + 28], 0.50005, mask=high)
    assert not match_detections(ours, theirs)
    assert count_ties(ours, theirs, []) == 1
    inside = [0, corner + 0.3, 28, corner + 28.3]
    other = found(inside, 0.50005, mask=high)
    assert count_ties(found(inside, mask=low), other, []) == 0
