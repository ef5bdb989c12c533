"""Heads of a user's that lack what a composition calls, one name at a time."""

import flax.linen as nn
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.check import check_model
from fpn_jax.detectors.check_parts import check_parts
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN

BACKBONE, NECK, RPN = Dummy(levels=(2, 3)), FPN(8, extra="none"), RPNHead()


class Dense(nn.Module):
    """A dense head by its names; nothing is called."""

    num_classes: int = 3

    def __call__(self, pyramid, *, train): ...

    def loss(self, outputs, sizes, targets, *, canvas, keys): ...

    def detections(self, outputs, sizes, *, canvas): ...

    def proposals(self, outputs, sizes, *, canvas, train): ...


class OnBoxes(nn.Module):
    """A head on boxes by its names."""

    def __call__(self, pyramid, boxes, valid=None, *, canvas, train): ...

    def loss(self, outputs, samples, targets): ...

    def detections(self, outputs, found, sizes): ...


class Box(OnBoxes):
    """A head on boxes that samples them, by its names."""

    num_classes: int = 3
    pool: RoIPool = RoIPool()

    def sample(self, proposals, targets, sizes, *, keys): ...

    def positives(self, samples): ...


class DrawsNothing(Dense):
    def loss(self, outputs, sizes, targets, *, canvas): ...


class CountsNothing(nn.Module):
    num_classes: int = 3
    __call__, loss = Dense.__call__, Dense.loss


class ProposesAlike(Dense):
    def proposals(self, outputs, sizes, *, canvas): ...


class AllValid(Box):
    def __call__(self, pyramid, boxes, *, canvas, train): ...


class SamplesAlike(Box):
    def sample(self, proposals, targets, sizes): ...


class NoPositives(OnBoxes):
    num_classes: int = 3
    pool: RoIPool = RoIPool()
    sample = Box.sample


class Unnumbered(OnBoxes):
    pool: RoIPool = RoIPool()
    sample, positives = Box.sample, Box.positives


class Unpooled(OnBoxes):
    num_classes: int = 3
    sample, positives = Box.sample, Box.positives


class Silent(nn.Module):
    loss, detections = OnBoxes.loss, OnBoxes.detections


def one_stage(head):
    return OneStage(BACKBONE, NECK, head)


def two_stage(**heads):
    return TwoStage(BACKBONE, NECK, **{"rpn": RPN, "box_head": BoxHead(3)} | heads)


def cascade(*heads):
    return Cascade(BACKBONE, NECK, RPN, heads)


class Stage(Box):
    """A head of a cascade by its names."""

    def match(self, boxes, valid, targets): ...

    def moved(self, outputs, boxes, sizes): ...


STAGE = BoxHead(3, class_agnostic=True)
PROPOSALS = ProposalNetwork(BACKBONE, NECK, RPN)
BROKEN = [
    (one_stage(DrawsNothing()), "head: DrawsNothing.loss has no argument 'keys', with"),
    (one_stage(CountsNothing()), "head: CountsNothing has no detections$"),
    (
        ProposalNetwork(BACKBONE, NECK, OnBoxes()),
        "head: OnBoxes.loss has no .*'canvas'",
    ),
    (two_stage(rpn=ProposesAlike()), "rpn: ProposesAlike.proposals .* 'train'"),
    (two_stage(box_head=AllValid()), "box_head: AllValid.__call__ .* 'valid'"),
    (two_stage(box_head=SamplesAlike()), "box_head: SamplesAlike.sample .* 'keys'"),
    (two_stage(box_head=NoPositives()), "box_head: NoPositives has no positives$"),
    (two_stage(box_head=Unnumbered()), "box_head: Unnumbered has no num_classes$"),
    (two_stage(box_head=Unpooled()), "box_head: Unpooled has no pool$"),
    (two_stage(mask_head=Silent()), "mask_head: Silent has no __call__$"),
    (two_stage(keypoint_head=Dense()), "keypoint_head: Dense.__call__ .* 'valid'"),
    (cascade(STAGE, Box()), "box_heads.1: Box has no match$"),
    (cascade(), r"box_heads must hold at least one head, got \(\)$"),
    (cascade(STAGE, BoxHead(3)), "box_heads.1.class_agnostic must be True"),
    (
        cascade(STAGE, BoxHead(4, class_agnostic=True)),
        r"box_heads must have one number of classes, got \[3, 4\]$",
    ),
    (FastRCNN(Dense(), BACKBONE, NECK, BoxHead(3)), "proposals: Dense has no propose$"),
]


@pytest.mark.parametrize(
    ("model", "message"), BROKEN, ids=[message[:25] for _, message in BROKEN]
)
def test_what_a_head_lacks_is_one_line_before_anything_is_traced(model, message):
    with pytest.raises(ValueError, match=f"^model.{message}") as error:
        check_model(model, (64, 96))
    assert "\n" not in str(error.value)


def test_heads_that_have_all_names_pass():
    check_parts(one_stage(Dense()), "model")
    check_parts(two_stage(rpn=Dense(), box_head=Box(), mask_head=OnBoxes()), "model")
    check_parts(ProposalNetwork(BACKBONE, NECK, Dense()), "model")
    check_parts(cascade(Stage(), STAGE), "model")
    # No sample's positives are asked for where there are no further heads.
    check_parts(FastRCNN(PROPOSALS, BACKBONE, NECK, Box()), "model")
