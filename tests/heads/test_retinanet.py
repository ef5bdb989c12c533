"""The head alone: its network, and what its fields make of two levels by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.retinanet import (
    RetinaNetHead,
    RetinaNetOutputs,
)
from fpn_jax.types import Targets

# One anchor of 16 px in each cell: 2x2 cells of 8 px, and 1x1 of 16 px.
HEAD = RetinaNetHead(3, anchor_sizes=((16,), (16,)), anchor_ratios=(1.0,))
CANVAS = (16, 16)
SIZES = jnp.array([[16, 16]])


def outputs_of(logits):
    """Returns outputs of logits [5, 3]; the boxes are the anchors."""
    logits = jnp.asarray(logits, jnp.float32)
    return RetinaNetOutputs(
        {3: logits[:4].reshape(1, 2, 2, 3), 4: logits[4:].reshape(1, 1, 1, 3)},
        {3: jnp.zeros((1, 2, 2, 4)), 4: jnp.zeros((1, 1, 1, 4))},
    )


def target_of(box, *, label):
    """Returns one object in one image."""
    return Targets(
        boxes=jnp.array([[box]], jnp.float32),
        labels=jnp.array([[label]]),
        valid=jnp.ones((1, 1), bool),
        crowd=jnp.zeros((1, 1), bool),
    )


def detections(head, outputs, sizes=SIZES):
    return jax.jit(partial(head.detections, canvas=CANVAS))(outputs, sizes)


def losses(head, outputs, targets):
    return jax.jit(partial(head.loss, canvas=CANVAS))(outputs, SIZES, targets)


def test_the_network_has_the_parameters_of_the_paper():
    pyramid = {level: jnp.zeros((1, 1, 1, 256)) for level in range(3, 8)}
    variables = jax.eval_shape(RetinaNetHead(91).init, jax.random.key(0), pyramid)
    count = {"class": 0, "box": 0}
    for name, layer in variables["params"].items():
        sizes = [np.prod(leaf.shape) for leaf in jax.tree.leaves(layer)]
        count[name.split("_")[0]] += sum(sizes)
    # torchvision's, of 9 anchors.
    assert count == {"class": 4_248_115, "box": 2_443_300}


def test_every_class_starts_with_its_prior():
    head = RetinaNetHead(2, anchor_sizes=((8,),), num_convs=0, prior=0.1)
    key = jax.random.key(0, impl="rbg")  # compiles in a tenth of the time
    outputs, _ = head.init_with_output(key, {3: jnp.zeros((1, 1, 1, 4))})
    np.testing.assert_allclose(jax.nn.sigmoid(outputs.logits[3]), 0.1, rtol=1e-6)


def test_detections_by_hand():
    # Anchors are centered on (0, 0), (8, 0), (0, 8), (8, 8); and on (0, 0) again.
    logits = np.full((5, 3), -9.0)
    logits[0, 1] = 2  # the best of its class
    logits[4, 1] = 1  # the same box: dropped, though of another level
    logits[4, 2] = 0  # the same box of another class: stays
    logits[3, 1] = -2  # overlaps less: stays
    logits[1, 0] = -4  # below the threshold
    found = detections(HEAD, outputs_of(logits))
    assert found.scores.shape == (1, 300)
    np.testing.assert_array_equal(np.flatnonzero(found.valid[0]), [0, 1, 2])
    np.testing.assert_array_equal(found.labels[0, :3], [1, 2, 1])
    expected = jax.nn.sigmoid(jnp.array([2.0, 0, -2]))
    np.testing.assert_allclose(found.scores[0, :3], expected, rtol=1e-6)
    np.testing.assert_array_equal(  # clipped to the image
        found.boxes[0, :3], [[0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 16, 16]]
    )


def test_losses_by_hand():
    # The box is the anchor on (8, 8), but 1 px higher: IoU 15/17. Its class is 2. The
    # anchors on (8, 0) and (0, 8) have IoU 1/3 and less, those on (0, 0) have 1/7.
    targets = target_of([0, -1, 16, 15], label=2)
    terms = losses(HEAD, outputs_of(np.zeros((5, 3))), targets)
    # 1 positive and 14 negative logits, all 0; the box is 1/16 of a side too low.
    focal = np.log(2) / 4 * (0.25 + 14 * 0.75)
    np.testing.assert_allclose(terms["class"].total, focal, rtol=1e-6)
    np.testing.assert_allclose(terms["box"].total, 1 / 16, rtol=1e-6)
    assert terms["class"].count == terms["box"].count == 1


def test_ignored_anchors_have_no_loss():
    # Of the anchors on (0, 0), two with IoU 1/7, on (8, 0) and (0, 8), with 1/3, and on
    # (8, 8), the box itself, all but the last are now between the thresholds.
    head = HEAD.clone(positive_iou=0.6, negative_iou=0.1)
    targets = target_of([0, 0, 16, 16], label=0)
    terms = losses(head, outputs_of(np.zeros((5, 3))), targets)
    focal = np.log(2) / 4 * (0.25 + 2 * 0.75)  # of the positive anchor alone
    np.testing.assert_allclose(terms["class"].total, focal, rtol=1e-6)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"anchor_sizes": ((32,), (64,))}, r"anchor_sizes .* levels \[3\]"),
        ({"norm": "batch"}, "norm must be one of None, 'group', got 'batch'"),
        ({"box_loss": "iou"}, r"box_loss must be one of .* \(nearest: 'giou'\)"),
    ],
)
def test_a_wrong_field_is_named(fields, message):
    head = RetinaNetHead(2, **{"anchor_sizes": ((8,),)} | fields)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(head.init, jax.random.key(0), {3: jnp.zeros((1, 1, 1, 32))})


def test_each_platform_gets_its_own_class_loss():
    head = RetinaNetHead(4, anchor_sizes=((32,),))
    outputs, _ = head.init_with_output(jax.random.key(0), {3: jnp.zeros((1, 2, 2, 8))})
    targets = Targets(
        boxes=jnp.zeros((1, 1, 4)),
        labels=jnp.zeros((1, 1), jnp.int32),
        valid=jnp.zeros((1, 1), bool),
        crowd=jnp.zeros((1, 1), bool),
    )
    traced = jax.jit(partial(head.loss, canvas=(16, 16))).trace(
        outputs, jnp.full((1, 2), 16, jnp.int32), targets
    )
    for platform, by_channels in (("cpu", False), ("tpu", True), ("cuda", True)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("HIGHEST" in text) == by_channels, platform
