"""Boxes on anchors that a reader can place; shapes that suit given boxes."""

import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.features import first_stage_grids
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.examination.anchor_coverage import (
    coverage,
    with_better_anchors,
)
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.zoo.digits import digits_faster_rcnn

HEAD = RPNHead(anchor_sizes=((16,), (32,)), anchor_ratios=(1.0,))
MODEL = ProposalNetwork(Dummy(levels=(3, 4)), FPN(8, extra="none"), HEAD)


def anchors_of(model, canvas):
    grids = first_stage_grids(model, canvas)
    return facts(model).first_stage.places(grids, canvas=canvas)


def test_the_anchors_are_those_of_the_head_on_the_canvas():
    anchors = anchors_of(MODEL, (64, 96))
    assert {level: len(rows) for level, rows in anchors.items()} == {3: 96, 4: 24}
    assert anchors[3][13].tolist() == [0, 0, 16, 16]  # around (8, 8)
    assert sum(map(len, anchors_of(digits_faster_rcnn(), (320, 320)).values())) == 25575


def test_the_best_anchor_of_each_box_by_hand():
    boxes = np.float32(
        [
            [0, 0, 16, 16],  # the anchor itself
            [0, 0, 32, 32],  # that of the coarser level
            [0, 0, 16, 12],  # three quarters of the first
            [0, 0, 8, 8],  # a quarter of it
        ]
    )
    found = coverage(boxes, anchors_of(MODEL, (64, 96)))
    assert found.levels == (3, 4) and found.num_anchors == (96, 24)
    assert found.level.tolist() == [3, 4, 3, 3]
    np.testing.assert_allclose(found.iou, [1, 1, 0.75, 0.25])


@pytest.mark.parametrize("num", [0, 1, 64, 100])
def test_any_number_of_boxes(num):
    boxes = np.tile(np.float32([[0, 0, 32, 32]]), (num, 1))
    found = coverage(boxes, anchors_of(MODEL, (64, 96)))
    assert found.level.tolist() == [4] * num and found.iou.tolist() == [1] * num


def test_the_search_finds_the_anchors_of_boxes_that_have_some():
    # Boxes half as high as wide and of other sizes than the head's 16 and 32, each in
    # the middle of an anchor's place.
    random = np.random.default_rng(0)
    centers = 16 * random.integers(1, 4, (200, 2))
    sides = np.where(random.random((200, 1)) < 0.5, [17, 8.5], [44, 22])
    boxes = np.float32(np.hstack([centers - sides / 2, centers + sides / 2]))
    canvas, grids = (64, 96), {3: (8, 12), 4: (4, 6)}
    before = coverage(boxes, HEAD.places(grids, canvas=canvas))
    better = with_better_anchors(HEAD, grids, canvas, boxes)
    after = coverage(boxes, better.places(grids, canvas=canvas))
    assert (before.iou < 0.7).all() and (after.iou >= 0.7).all()
    assert better.anchor_ratios[0] < 0.8  # enough for 0.7


def test_anchors_that_cover_everything_are_left_alone():
    boxes = np.tile(np.float32([[0, 0, 16, 16]]), (300, 1))
    grids = {3: (8, 12), 4: (4, 6)}
    assert with_better_anchors(HEAD, grids, (64, 96), boxes) == HEAD
