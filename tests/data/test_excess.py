"""Objects for which a batch has no room."""

import numpy as np
import pytest

from fpn_jax.data.example import Example
from fpn_jax.data.excess import left_out, room_for, without_excess


def example(boxes, crowd=None) -> Example:
    boxes = np.float32(boxes)
    return Example(
        image_id=1,
        name="1.jpg",
        image=np.full((20, 20, 3), 200, np.uint8),
        boxes=boxes,
        labels=np.arange(len(boxes), dtype=np.int32),
        crowd=np.zeros(len(boxes), bool) if crowd is None else np.array(crowd),
        areas=np.ones(len(boxes), np.float32),
    )


@pytest.mark.parametrize(
    ("counts", "rows"),
    [([], 16), ([0, 3], 16), ([17, 3], 24), ([64], 64), ([1000], 256), (None, 100)],
)
def test_there_is_room_for_the_image_with_the_most_objects(counts, rows):
    assert room_for(None if counts is None else np.array(counts, int)) == rows


def test_objects_without_room_are_painted_over_and_the_kept_ones_are_not():
    # A: 10 x 10; B: 6 x 6, half of it in A; C: 2 x 2 with broken pixels.
    given = example([[0, 0, 10, 10], [7, 0, 13, 6], [15.5, 15.5, 17.5, 17.5]])
    kept = without_excess(given, 1)
    assert kept.labels.tolist() == [0]
    painted = (kept.image != 200).any(axis=-1)
    assert painted.sum() == 3 * 6 + 3 * 3  # B beside A, and each pixel that C touches
    assert painted[:6, 10:13].all() and painted[15:18, 15:18].all()
    assert (given.image == 200).all()
    assert without_excess(given, 3) is given


def test_crowd_regions_give_way_and_are_not_painted():
    kept = without_excess(
        example([[0, 0, 20, 20], [1, 1, 3, 3]], crowd=[True, False]), 1
    )
    assert kept.labels.tolist() == [1]
    assert (kept.image == 200).all()


def test_the_line_counts_what_is_left_out_of_how_many_and_names_the_option():
    assert left_out(np.array([30, 8, 9, 0]), 8) == (
        "max_boxes is 8: 23 of 47 objects are left out, in 2 of 4 images; one has 30, "
        "and --data.max-boxes 30 takes all"
    )
    assert left_out(np.array([8, 0]), 8) is None
