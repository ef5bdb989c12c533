from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.matching import (
    best_boxes,
    match_by_center,
    match_by_cost,
    match_by_iou,
)
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "low_quality": True}
RETINANET = {"positive_iou": 0.5, "negative_iou": 0.4, "low_quality": True}
BOX_HEAD = {"positive_iou": 0.5, "negative_iou": 0.5, "low_quality": False}


def match(anchors, boxes, valid=None, **rule):
    anchors, boxes = (jnp.asarray(x, jnp.float32) for x in (anchors, boxes))
    valid = jnp.ones(len(boxes), bool) if valid is None else jnp.asarray(valid)
    return jax.jit(lambda *arrays: match_by_iou(*arrays, **rule))(anchors, boxes, valid)


def strip(*widths):
    """Boxes of height 1 that start at 0, so that IoU is a ratio of widths."""
    return [[0, 0, width, 1] for width in widths]


def test_thresholds_by_hand():
    # IoU with the box: 1, 0.7 (positive from there on), 0.5, 0.3, 0.2 (negative).
    anchors = strip(10, 7, 5, 3, 2)
    found = match(anchors, strip(10), **RPN)
    np.testing.assert_array_equal(found.positive, [True, True, False, False, False])
    np.testing.assert_array_equal(found.negative, [False, False, False, False, True])


def test_low_quality_makes_the_best_anchor_of_a_box_positive():
    rule = RPN | {"low_quality": False}
    assert not match(strip(4, 5), strip(10), **rule).positive.any()
    found = match(strip(4, 5), strip(10), **RPN)
    np.testing.assert_array_equal(found.positive, [False, True])


def test_all_anchors_that_tie_for_a_box_become_positive():
    found = match([[0, 0, 4, 1], [6, 0, 10, 1], [4, 0, 6, 1]], strip(10), **RPN)
    np.testing.assert_array_equal(found.positive, [True, True, False])


def test_low_quality_anchor_goes_to_its_own_best_box():
    # Anchor 0 overlaps A by 0.8 and B by 0.5; both have no better anchor, and B's best
    # anchor is given to A. Anchor 1 overlaps B by 0.1 only.
    boxes = strip(8, 5)
    found = match(strip(10, 1), boxes, **(RPN | {"positive_iou": 0.9}))
    np.testing.assert_array_equal(found.positive, [True, False])
    np.testing.assert_array_equal(found.negative, [False, True])
    assert found.index[0] == 0


def test_first_of_equal_boxes_wins():
    assert match(strip(10), strip(5, 10, 10), **RPN).index[0] == 1


def test_box_that_overlaps_no_anchor_matches_none():
    # torchvision would make every anchor positive here: all tie at IoU 0.
    far = [[100, 100, 110, 110]]
    found = match(strip(10, 5), far, **RPN)
    assert found.negative.all() and not found.positive.any()


def test_padding_boxes_never_match():
    anchors = strip(10, 7, 5, 3, 2)
    alone = match(anchors, strip(7), **RPN)
    padded = match(
        anchors, strip(5, 7, 10, 0), valid=[False, True, False, False], **RPN
    )
    np.testing.assert_array_equal(padded.positive, alone.positive)
    np.testing.assert_array_equal(padded.negative, alone.negative)
    assert (padded.index[padded.positive] == 1).all()


@pytest.mark.parametrize("num_boxes", [0, 3])
def test_without_a_valid_box_every_anchor_is_negative(num_boxes):
    boxes = np.zeros((num_boxes, 4))
    found = match(strip(10, 5), boxes, valid=np.zeros(num_boxes, bool), **RPN)
    assert found.negative.all() and not found.positive.any()


@pytest.mark.parametrize(
    "rule", [RPN, RETINANET, BOX_HEAD], ids=["rpn", "dense", "box"]
)
@pytest.mark.parametrize("integer", [True, False], ids=["ties", "continuous"])
def test_assignment_equals_torchvisions(rule, integer):
    rng = np.random.default_rng(0)

    def boxes(n):
        corner, side = rng.uniform(0, 90, (n, 2)), rng.uniform(4, 40, (n, 2))
        both = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
        return both.round() if integer else both  # whole pixels tie often

    anchors, targets = boxes(3000), boxes(21)
    matcher = torchvision.models.detection._utils.Matcher(
        rule["positive_iou"], rule["negative_iou"], rule["low_quality"]
    )
    theirs = matcher(
        torchvision.ops.box_iou(torch.tensor(targets), torch.tensor(anchors))
    ).numpy()
    ours = match(anchors, targets, **rule)
    np.testing.assert_array_equal(ours.positive, theirs >= 0)
    np.testing.assert_array_equal(ours.negative, theirs == matcher.BELOW_LOW_THRESHOLD)
    positive = theirs >= 0
    np.testing.assert_array_equal(ours.index[positive], theirs[positive])


def test_all_formulations_find_the_same_boxes():
    generator = np.random.default_rng(0)
    corners = jnp.asarray(generator.integers(0, 30, (120, 2, 2)), jnp.float32)
    all_boxes = jnp.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    anchors, boxes = all_boxes[:100], all_boxes[100:]
    valid = jnp.arange(20) % 7 != 3
    found = [best_boxes(anchors, boxes, valid, at_once=n) for n in (1, 8, 128)]
    for others in found[1:]:
        for mine, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="negative_iou = 0.7 and positive_iou = 0.3"):
        match(strip(1), strip(1), positive_iou=0.3, negative_iou=0.7, low_quality=True)


def match_points(points, boxes, valid=None, *, radius=100, distances=(0, 1000)):
    boxes = jnp.asarray(boxes, jnp.float32)
    return match_by_center(
        jnp.asarray(points, jnp.float32),
        boxes,
        jnp.ones(len(boxes), bool) if valid is None else jnp.asarray(valid),
        radius=radius,
        min_distance=distances[0],
        max_distance=distances[1],
    )


def test_points_inside_a_box_are_positive_and_those_on_its_side_are_not():
    match = match_points([[5, 5], [0, 5], [5, 10], [11, 5]], [[0, 0, 10, 10]])
    np.testing.assert_array_equal(match.positive, [True, False, False, False])
    np.testing.assert_array_equal(match.negative, ~match.positive)


def test_only_points_near_the_center_are_positive():
    # 12 is the radius away; a circle would leave out the last one.
    points = [[50, 50], [61, 50], [62, 50], [61, 61]]
    match = match_points(points, [[0, 0, 100, 100]], radius=12)
    np.testing.assert_array_equal(match.positive, [True, True, False, True])


def test_the_farthest_side_decides_on_the_level():
    points = [[32, 32], [33, 32], [31, 31], [40, 32]]
    boxes = [[0, 0, 64, 64]]
    match = match_points(points, boxes, distances=(32, 40))  # 32, 33, 33 and 40 far
    np.testing.assert_array_equal(match.positive, [False, True, True, False])


def test_the_smallest_box_wins_its_point():
    boxes = [[0, 0, 40, 40], [10, 10, 30, 30], [9, 9, 30, 30]]
    match = match_points([[20, 20], [5, 5]], boxes)
    np.testing.assert_array_equal(match.index, [1, 0])
    assert match.positive.all()


def test_padding_boxes_want_no_points():
    boxes = [[0, 0, 40, 40], [10, 10, 30, 30]]
    match = match_points([[20, 20]], boxes, [True, False])
    np.testing.assert_array_equal(match.index, [0])
    assert not match_points([[20, 20]], boxes, [False, False]).positive.any()


def match_cost(cost, iou, candidate=None, num_candidates=10):
    cost, iou = jnp.float32(cost), jnp.float32(iou)
    candidate = jnp.ones(cost.shape, bool) if candidate is None else candidate
    matched = jax.jit(partial(match_by_cost, num_candidates=num_candidates))
    return matched(cost, iou, jnp.asarray(candidate))


def test_a_box_takes_as_many_predictions_as_its_ious_add_up_to():
    # 0.9 + 0.8 + 0.4 = 2.1: the two of least cost, whatever their IoU.
    found = match_cost([[3], [1], [2]], [[0.9], [0.8], [0.4]])
    assert found.positive.tolist() == [False, True, True]
    assert found.negative.tolist() == [True, False, False]


def test_a_box_of_small_ious_takes_one():
    found = match_cost([[3], [1], [2]], [[0.1], [0.0], [0.2]])
    assert found.positive.tolist() == [False, True, False]


def test_only_the_largest_ious_count():
    iou = [[0.9], [0.9], [0.9]]
    assert match_cost([[3], [1], [2]], iou, num_candidates=2).positive.sum() == 1
    assert match_cost([[3], [1], [2]], iou, num_candidates=3).positive.sum() == 2


def test_a_prediction_goes_to_the_box_of_least_cost_that_took_it():
    # Both boxes take row 0. The third one would have it for less but took row 1.
    found = match_cost(
        [[2, 3, 1.5], [9, 9, 1], [9, 9, 9]], [[0.6, 0.6, 0.6], [0, 0, 0], [0, 0, 0]]
    )
    assert found.positive.tolist() == [True, True, False]
    assert found.index[:2].tolist() == [0, 2]


def test_boxes_without_candidates_take_nothing():
    candidate = [[True, False], [False, False]]
    found = match_cost([[1, 0], [0, 0]], [[0.9, 0.9], [0.9, 0.9]], candidate)
    assert found.positive.tolist() == [True, False]
    assert found.index[0] == 0
