"""The levels that the head with anchors sees, and those that boxes are pooled from."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.features import check_targets, first_stage_grids
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.examination.levels import level_report
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.types import Targets
from fpn_jax.zoo.digits import digits_faster_rcnn

HEAD = RPNHead(anchor_sizes=((16,), (32,)), anchor_ratios=(1.0,))
NETWORK = ProposalNetwork(Dummy(levels=(3, 4)), FPN(8, extra="none"), HEAD)
FAST_RCNN = FastRCNN(
    proposals=NETWORK,
    backbone=Dummy(levels=(2, 3, 4, 5)),
    neck=FPN(8),
    box_head=BoxHead(3, pool=RoIPool(levels=(2, 3), canonical_size=56)),
)


class Whole(nn.Module):
    """A detector of the user's without a backbone by that name."""

    num_classes: int = 3
    first_stage: nn.Module = HEAD

    def __call__(self, images, sizes, *, train=False): ...

    def loss(self, images, sizes, targets, *, keys, train=False): ...

    def detect(self, images, sizes): ...


class Points(nn.Module):
    """A head of the user's that proposes without anchors."""


class Whatever(nn.Module):
    """A backbone and a neck that pass on what they are given."""

    def __call__(self, x, *, train=False):
        return x


@pytest.mark.parametrize(
    "fields, image, padding",
    [
        ({}, [0.5, 2, 1], [0, 0, 0]),
        ({"channel_order": "bgr"}, [1, 2, 0.5], [0, 0, 0]),
        ({"channel_order": "bgr", "padding_value": 51}, [1, 2, 0.5], [0, -2, 0]),
    ],
)
def test_the_backbone_is_given_the_pixels_that_the_detectors_fields_say(
    fields, image, padding
):
    detector = OneStage(
        *(Whatever(), Whatever(), Whatever()),
        image_mean=(0.2, 0.6, 0.2),
        image_std=(0.4, 0.2, 0.8),
        **fields,
    )
    images = jnp.array([[[[102, 255, 255], [9, 9, 9]]]], jnp.uint8)
    pixels = detector.apply({}, images, jnp.array([[1, 1]]))
    # (0.4 - 0.2) / 0.4, (1 - 0.6) / 0.2, (1 - 0.2) / 0.8, and 51 is 0.2.
    np.testing.assert_allclose(pixels, [[[image, padding]]], atol=1e-6)


@pytest.mark.parametrize(
    ("images", "sizes", "message"),
    [
        ((32, 32, 3), (1, 2), r"images must be .* 3\], got \[32, 32, 3\]"),
        ((1, 3, 32, 32), (1, 2), r"images must be .* 3\], got \[1, 3, 32, 32\]"),
        ((1, 32, 32, 4), (1, 2), r"images must be .* got \[1, 32, 32, 4\]"),
        ((1, 32, 32, 3), (2,), r"sizes must be \[batch, 2\], .* got \[2\]"),
        ((1, 32, 32, 3), (1, 3), r"sizes must be \[batch, 2\], .* got \[1, 3\]"),
        ((2, 32, 32, 3), (1, 2), r"sizes must be .* got \[1, 2\] for a batch of 2"),
    ],
)
def test_images_are_a_batch_with_channels_last(images, sizes, message):
    with pytest.raises(ValueError, match=message):
        NETWORK.init(jax.random.key(0), np.zeros(images), np.ones(sizes))


def test_a_grid_has_the_rows_and_columns_of_its_level():
    assert first_stage_grids(NETWORK, (64, 96)) == {3: (8, 12), 4: (4, 6)}


def test_the_grids_of_a_fast_rcnn_are_those_of_its_proposal_network():
    assert first_stage_grids(FAST_RCNN, (64, 96)) == {3: (8, 12), 4: (4, 6)}
    assert facts(FAST_RCNN).first_stage is HEAD


def test_only_detectors_with_anchors_have_a_first_stage():
    assert facts(digits_faster_rcnn()).first_stage == digits_faster_rcnn().rpn
    fcos = OneStage(NETWORK.backbone, NETWORK.neck, FCOSHead(3, num_convs=0))
    assert facts(fcos).first_stage is None


def test_only_detectors_with_a_box_head_pool_features():
    assert facts(FAST_RCNN).pool == RoIPool(levels=(2, 3), canonical_size=56)
    assert facts(digits_faster_rcnn()).pool.levels == (2, 3, 4, 5)
    assert facts(NETWORK).pool is None


def test_a_head_without_anchors_is_no_first_stage():
    box_head = BoxHead(3)
    model = TwoStage(NETWORK.backbone, NETWORK.neck, Points(), box_head)
    assert facts(model).first_stage is None


def test_levels_that_are_not_known_are_a_line_of_the_report():
    line = "the detector's levels are not known: Whole has no backbone"
    with pytest.raises(ValueError, match=f"^{line}$"):
        first_stage_grids(Whole(), (64, 96))
    assert list(level_report(np.ones((1, 4)), Whole(), (64, 96))) == [line]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": (1, 3, 4)}, r"targets.boxes must be \[batch, .* for a batch of 2"),
        ({"boxes": (2, 4)}, r"targets.boxes must be .* got \[2, 4\]"),
        ({"labels": (2,)}, r"targets.labels must be \[2, 3\] as .* got \[2\]"),
        ({"valid": (2, 4)}, r"targets.valid must be \[2, 3\] as .* got \[2, 4\]"),
        ({"crowd": (3,)}, "targets.crowd must be"),
    ],
)
def test_ground_truth_is_of_the_batch(changes, message):
    shapes = {"boxes": (2, 3, 4), "labels": (2, 3), "valid": (2, 3), "crowd": (2, 3)}
    keys = jax.random.split(jax.random.key(0), 2)

    def check(shapes, keys):
        targets = Targets(**{name: np.zeros(shapes[name]) for name in shapes})
        check_targets(np.zeros((2, 32, 32, 3)), targets, keys)

    check(shapes, keys)
    check(shapes, jax.random.key_data(keys))
    for one in (jax.random.key(0), jax.random.PRNGKey(0)):
        with pytest.raises(ValueError, match=r"keys must be one .*split\(key, 2\)"):
            check(shapes, one)
    with pytest.raises(ValueError, match=message):
        check(shapes | changes, keys)


@pytest.mark.parametrize("detector", [NETWORK, FAST_RCNN, digits_faster_rcnn()])
def test_every_detector_looks_at_the_shapes_of_its_targets(detector):
    images, sizes = np.zeros((1, 64, 64, 3)), np.full((1, 2), 64)
    flat = Targets(np.zeros((1, 3, 4)), *np.zeros((3, 3)))
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match=r"targets.labels must be \[1, 3\]"):
        jax.eval_shape(
            lambda: detector.init(
                jax.random.key(0), images, sizes, flat, keys=keys, method="loss"
            )
        )
