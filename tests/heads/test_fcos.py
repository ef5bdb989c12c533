"""The head alone: its network, and what its fields make of two levels by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.heads.fcos import FCOSHead, FCOSOutputs, centerness
from fpn_jax.types import Targets

# 4x4 points 8 px apart and 2x2 points 16 px apart.
CANVAS = (32, 32)
SIZES = jnp.array([[32, 32]])
HEAD = FCOSHead(2)


def outputs_of(*, logit=-9.0, distance=1.0, centered=0.0):
    def fill(value, channels):
        shape = {3: (1, 4, 4, channels), 4: (1, 2, 2, channels)}
        return {level: jnp.full(shape, value) for level, shape in shape.items()}

    return FCOSOutputs(fill(logit, 2), fill(distance, 4), fill(centered, 1))


def targets_of(*boxes):
    return Targets(
        boxes=jnp.array([boxes], jnp.float32),
        labels=jnp.arange(len(boxes))[None],
        valid=jnp.ones((1, len(boxes)), bool),
        crowd=jnp.zeros((1, len(boxes)), bool),
    )


def detections(head, outputs, sizes=SIZES):
    return jax.jit(partial(head.detections, canvas=CANVAS))(outputs, sizes)


def losses(head, outputs, targets):
    return jax.jit(partial(head.loss, canvas=CANVAS))(outputs, SIZES, targets)


def test_the_network_has_the_parameters_of_torchvision():
    pyramid = {level: jnp.zeros((1, 1, 1, 256)) for level in range(3, 8)}
    variables = jax.eval_shape(FCOSHead(91).init, jax.random.key(0), pyramid)
    count = {"class": 0, "box": 0, "centerness": 0}
    for name, layer in variables["params"].items():
        sizes = [np.prod(leaf.shape) for leaf in jax.tree.leaves(layer)]
        count[name.split("_")[0]] += sum(sizes)
    assert count["class"] == 2_572_123
    assert count["box"] + count["centerness"] == 2_373_893


def test_centerness_by_hand():
    distances = jnp.array([[5, 5, 5, 5], [1, 2, 4, 2], [0, 3, 6, 3], [-1, 3, 6, 3]])
    found = centerness(distances.astype(jnp.float32))
    np.testing.assert_allclose(found, [1, 0.5, 0, 0])


def test_centerness_of_padding_is_finite():
    assert jnp.isfinite(centerness(jnp.zeros((1, 4)))).all()


def test_distances_are_positive_and_in_strides():
    head = FCOSHead(2, num_convs=0)
    features = {3: jnp.ones((1, 4, 4, 8)), 4: -jnp.ones((1, 2, 2, 8))}
    key = jax.random.key(0, impl="rbg")  # compiles in a tenth of the time
    outputs, _ = head.init_with_output(key, features)
    deltas = [np.asarray(x) for x in outputs.deltas.values()]
    assert all((x >= 0).all() for x in deltas) and any((x > 0).any() for x in deltas)

    everything = head.clone(score_threshold=0.0, nms_threshold=1.0)
    found = detections(everything, outputs_of(), jnp.array([[1000, 1000]]))
    # The point (16, 16) of both levels, one stride to each side.
    boxes = found.boxes[0].tolist()
    assert [8, 8, 24, 24] in boxes and [0, 0, 32, 32] in boxes


def test_detections_by_hand():
    outputs = outputs_of()
    outputs.logits[3] = outputs.logits[3].at[0, 1, 2].set(jnp.array([-9.0, 4.0]))
    outputs.logits[4] = outputs.logits[4].at[0, 1, 1].set(jnp.array([4.0, -4.0]))
    outputs.centerness[3] = outputs.centerness[3].at[0, 1, 2].set(3.0)
    found = detections(HEAD, outputs)
    assert found.scores.shape == (1, 100)
    np.testing.assert_array_equal(np.flatnonzero(found.valid[0]), [0, 1])
    np.testing.assert_array_equal(found.labels[0, :2], [1, 0])
    np.testing.assert_array_equal(found.boxes[0, :2], [[8, 0, 24, 16], [0, 0, 32, 32]])
    p4, p3, p0 = (float(jax.nn.sigmoid(x)) for x in (4.0, 3.0, 0.0))
    expected = np.sqrt([p4 * p3, p4 * p0])
    np.testing.assert_allclose(found.scores[0, :2], expected, rtol=1e-6)


def test_losses_by_hand():
    # Of the level of 8 px only (8, 8) is inside, and less than 1.5 strides from the
    # center (9, 10). Its farthest side, at 6, is too near for the level of 16 px.
    targets = targets_of([4, 4, 14, 16])
    terms = losses(HEAD, outputs_of(logit=0.0, distance=0.5), targets)
    assert {term.count.item() for term in terms.values()} == {1}
    focal = np.log(2) / 4 * (0.25 + 39 * 0.75)  # 20 points, 2 classes
    np.testing.assert_allclose(terms["class"].total, focal, rtol=1e-6)
    # Half a stride to each side: 8x8 px, inside the object's 10x12.
    np.testing.assert_allclose(terms["box"].total, 1 - 64 / 120, rtol=1e-6)
    # 4, 4, 6 and 8 px to the sides; cross-entropy with a probability of 1/2 is log 2.
    np.testing.assert_allclose(terms["centerness"].total, np.log(2), rtol=1e-6)


def test_a_large_object_belongs_to_the_coarse_level():
    # The levels part at 16 px, and the farthest side is 20 px from (16, 16), more from
    # the others near the center: the finest level has none of its points.
    head = HEAD.clone(distance_range=(1.0, 2.0))
    outputs, targets = outputs_of(distance=0.5), targets_of([0, 0, 36, 36])
    terms = losses(head, outputs, targets)
    assert terms["box"].count == 1
    # Half a stride to each side is 16x16 px there.
    np.testing.assert_allclose(terms["box"].total, 1 - 256 / 1296, rtol=1e-6)
