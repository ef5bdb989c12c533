"""The head alone: what its fields make of the anchors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.rpn import RPNHead
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision_heads import head_rules

torch, torchvision = import_torchvision()


@pytest.mark.parametrize(
    "rounded, corner",
    [
        # Of size 10 and ratio 1/4: 20 wide and 5 high.
        (True, (10, 2)),  # 2.5, half to even
        (False, (10, 2.5)),
    ],
)
def test_anchors_are_whole_pixels_where_asked(rounded, corner):
    head = RPNHead(
        anchor_sizes=((10,),), anchor_ratios=(0.25,), rounded_anchors=rounded
    )
    anchors = head.places({2: (1, 2)}, canvas=(4, 8))[2]
    x, y = corner
    np.testing.assert_array_equal(anchors, [[-x, -y, x, y], [4 - x, -y, 4 + x, y]])


@pytest.mark.parametrize("rule, stride", [("canvas", 5), ("level", 8)])
def test_the_stride_is_by_the_rule(rule, stride):
    # A canvas of 10 is halved three times to 5, 3 and 2.
    head = RPNHead(anchor_sizes=((4,),), anchor_ratios=(1.0,), stride_rule=rule)
    anchors = head.places({3: (2, 2)}, canvas=(10, 10))[3].reshape(2, 2, 4)
    assert tuple(anchors[1, 1] - anchors[0, 0]) == (stride,) * 4


def proposals_of_a_random_pyramid(**fields):
    """Returns a function that makes proposals of random outputs on P3 and P4."""
    random = np.random.default_rng(0)
    pyramid = {
        level: jnp.asarray(random.normal(size=(1, *grid, 8)), jnp.float32)
        for level, grid in ((3, (8, 12)), (4, (4, 6)))
    }
    head = RPNHead(anchor_sizes=((16,), (32,)), **fields)
    variables = head.init(jax.random.key(0), pyramid)
    scaled = jax.tree.map(lambda leaf: 50 * leaf, variables)
    outputs, sizes = head.apply(scaled, pyramid), jnp.array([[64, 96]])
    proposals = partial(head.proposals, outputs, sizes, canvas=(64, 96))
    return jax.jit(proposals, static_argnames="train")


def test_training_has_its_own_numbers_of_proposals():
    proposals_of = proposals_of_a_random_pyramid(
        pre_nms=20, post_nms=10, training_pre_nms=60, training_post_nms=50
    )
    tested, trained = proposals_of(), proposals_of(train=True)
    assert tested.scores.shape == (1, 10)
    assert trained.scores.shape == (1, 50)
    # The best are the same: what enters besides is lower and drops none of them.
    np.testing.assert_array_equal(tested.boxes, trained.boxes[:, :10])


def test_a_level_with_less_anchors_than_asked_for_gives_all_of_them():
    proposals_of = proposals_of_a_random_pyramid(nms_threshold=1.0, min_side=0.0)
    proposals = proposals_of()
    assert proposals.valid.sum() == proposals.scores.size == 3 * (8 * 12 + 4 * 6)


def test_proposals_below_the_score_threshold_are_not_valid():
    proposals_of = proposals_of_a_random_pyramid(score_threshold=0.5)
    proposals = proposals_of()
    scores = np.asarray(proposals.scores)[np.asarray(proposals.valid)]
    assert 0 < len(scores) < proposals.scores.size and scores.min() >= 0.5


@pytest.mark.parametrize(
    "fields, channels, count",
    [
        ({}, 256, 593_935),
        ({"num_convs": 2}, 256, 1_184_015),
        # All five sizes on each of the three levels of MobileNet's pyramid.
        ({"anchor_sizes": ((32, 64, 128, 256, 512),) * 3}, 256, 609_355),
    ],
)
def test_parameter_counts_are_torchvisions(fields, channels, count):
    head = RPNHead(**fields)
    levels = range(2, 2 + len(head.anchor_sizes))
    pyramid = {level: jnp.zeros((1, 2, 2, channels)) for level in levels}
    variables = jax.eval_shape(head.init, jax.random.key(0), pyramid)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == count


@pytest.mark.parametrize("num_convs, num_sizes", [(1, 1), (2, 1), (1, 5)])
def test_outputs_equal_torchvisions(num_convs, num_sizes):
    torch.manual_seed(0)
    reference = torchvision.models.detection.rpn.RPNHead(8, 3 * num_sizes, num_convs)
    random = np.random.default_rng(0)
    pyramid = {
        level: random.normal(size=(2, 9 - level, 7, 8)).astype(np.float32)
        for level in (5, 6, 7)
    }
    head = RPNHead(
        num_convs=num_convs,
        anchor_sizes=(tuple(32 * 2**i for i in range(num_sizes)),) * 3,
    )
    variables = jax.eval_shape(head.init, jax.random.key(0), pyramid)
    variables = convert(numpy_state(reference), head_rules(head), variables)
    ours = head.apply(variables, pyramid)
    with torch.no_grad():
        logits, deltas = reference([to_torch(x) for x in pyramid.values()])
    for level, *theirs in zip(pyramid, logits, deltas, strict=True):
        for x, expected in zip(
            (ours.objectness[level], ours.deltas[level]), theirs, strict=True
        ):
            # Sums of 72 products in another order.
            np.testing.assert_allclose(x, to_nhwc(expected), atol=1e-6)
