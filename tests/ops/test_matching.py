import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.matching import match_by_iou
from tests.torch_reference import torch, torchvision

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


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="negative_iou = 0.7 and positive_iou = 0.3"):
        match(strip(1), strip(1), positive_iou=0.3, negative_iou=0.7, low_quality=True)
