"""The cascade against Detectron2's in torch: outputs, losses, gradients, detections.

The pyramid is given, as parameters of a backbone without a network, and so are the
proposals: what is compared is the cascade alone.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.detectors.cascade import Cascade, mean_outputs
from fpn_jax.heads.box import BoxHead, BoxOutputs
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.types import Proposals, Targets
from fpn_jax.weights.detectron2 import detector_rules
from fpn_jax.weights.state_dicts import convert
from fpn_jax.zoo.detectron2 import cascade_rcnn
from tests.support.cascade_twin import CascadeTwin, random_boxes

torch, torchvision = import_torchvision()

SIDE, CHANNELS, HIDDEN, CLASSES, PROPOSALS = 128, 4, 12, 3, 40
CANONICAL = 28  # px of a box on level 4: all levels have some
LEVELS = (2, 3, 4, 5)
SIZES = [(SIDE, SIDE), (SIDE - 24, SIDE - 8)]
IMAGES = jnp.zeros((2, SIDE, SIDE, 3), jnp.uint8)


class GivenPyramid(nn.Module):
    """In the place of a backbone: its features are its parameters."""

    @nn.compact
    def __call__(self, pixels, *, train=False):
        features = {}
        for level in LEVELS:
            shape = (2, SIDE >> level, SIDE >> level, CHANNELS)
            features[level] = self.param(f"c{level}", nn.initializers.normal(1), shape)
        return features


class Passing(nn.Module):
    """In the place of a neck."""

    def __call__(self, pyramid, *, train=False):
        return pyramid


class GivenProposals(nn.Module):
    """In the place of an RPN; it has no loss."""

    boxes: tuple  # of each image

    def __call__(self, pyramid, *, train=False):
        return None

    def loss(self, outputs, sizes, targets, *, canvas, keys):
        return {}

    def proposals(self, outputs, sizes, *, canvas, train=False):
        boxes = jnp.array(self.boxes, jnp.float32)
        ones = jnp.ones(boxes.shape[:2])
        return Proposals(boxes, ones, ones > 0)


@pytest.fixture(scope="module")
def pair():
    """Our detector and its variables; the twin, its pyramid, proposals and objects.

    A stage moves boxes little, and every stage has positives.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    twin = CascadeTwin(CHANNELS, HIDDEN, CLASSES, CANONICAL)
    with torch.no_grad():
        for predictor in twin.box_predictor:
            predictor.cls_score.weight *= 8
            predictor.bbox_pred.weight *= 3
    objects = [random_boxes(random, 3, SIDE - 24) for _ in SIZES]
    labels = random.integers(0, CLASSES, (2, 3)).astype(np.int32)
    near = [np.repeat(b, PROPOSALS // 6, axis=0) for b in objects]
    noise = [random.normal(scale=0.05, size=b.shape) for b in near]
    near = [
        b + n * np.tile(b[:, 2:] - b[:, :2], 2)
        for b, n in zip(near, noise, strict=True)
    ]
    far = [random_boxes(random, PROPOSALS - len(near[0]), SIDE) for _ in SIZES]
    limits = [np.array([w, h, w, h]) for h, w in SIZES]
    boxes = [
        np.concatenate(parts).clip(0, limit).astype(np.float32)
        for *parts, limit in zip(near, far, limits, strict=True)
    ]
    zoo = cascade_rcnn(num_classes=CLASSES)
    # A sample of all candidates: the proposals and the objects.
    options = {"num_samples": PROPOSALS + 3, "positive_fraction": 1.0}
    options["pool"] = dataclasses.replace(
        zoo.box_heads[0].pool, canonical_size=CANONICAL
    )
    detector = zoo.clone(
        backbone=GivenPyramid(),
        neck=Passing(),
        rpn=GivenProposals(tuple(map(tuple, np.stack(boxes).tolist()))),
        box_heads=tuple(
            head.clone(hidden_features=HIDDEN, **options) for head in zoo.box_heads
        ),
    )
    shapes = jax.eval_shape(detector.init, jax.random.key(0), IMAGES, sizes())
    pyramid = {
        f"c{level}": random.normal(size=shape.shape).astype(np.float32)
        for level, shape in zip(
            LEVELS, jax.tree.leaves(shapes["params"]["backbone"]), strict=True
        )
    }
    rules = [rule for rule in detector_rules(zoo) if "box_heads" in (rule.ours or "")]
    state = {f"roi_heads.{name}": x for name, x in numpy_state(twin).items()}
    heads = {k: x for k, x in shapes["params"].items() if k != "backbone"}
    params = convert(state, rules, {"params": heads})["params"]
    variables = {"params": {**params, "backbone": pyramid}}
    maps = {level: to_torch(pyramid[f"c{level}"]).requires_grad_() for level in LEVELS}
    targets = Targets(
        boxes=np.stack(objects),
        labels=labels,
        valid=np.ones((2, 3), bool),
        crowd=np.zeros((2, 3), bool),
    )
    return detector, variables, twin, maps, boxes, targets, rules


def sizes():
    return jnp.array(SIZES, jnp.int32)


def close(ours, theirs, relative):
    theirs = theirs.detach().numpy()
    ours = np.asarray(ours).reshape(theirs.shape)
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


def test_every_stage_says_what_detectron2s_says_and_they_find_the_same(pair):
    detector, variables, twin, maps, boxes, *_ = pair
    outputs = jax.jit(detector.apply)(variables, IMAGES, sizes())
    with torch.no_grad():
        given = [torch.from_numpy(b) for b in boxes]
        stages = twin.stages(maps, given, SIZES)
        found = twin.detections(maps, given, SIZES)
    assert len(outputs.stages) == len(stages) == 3
    for ours, own, (given, scores, deltas) in zip(
        outputs.stages, outputs.boxes, stages, strict=True
    ):
        np.testing.assert_allclose(own.reshape(-1, 4), given, atol=0.01)
        close(ours.logits[..., 1:], scores[:, :-1], 1e-4)
        close(ours.logits[..., 0], scores[:, -1], 1e-4)
        close(ours.deltas, deltas, 1e-4)
    for image, (boxes, scores, labels) in enumerate(found):
        ours = outputs.detections
        rows = np.asarray(ours.valid[image])
        assert 10 <= rows.sum() == len(boxes)
        np.testing.assert_allclose(ours.boxes[image][rows], boxes, atol=0.05)
        np.testing.assert_allclose(ours.scores[image][rows], scores, atol=1e-4)
        np.testing.assert_array_equal(ours.labels[image][rows], labels)


def test_losses_of_every_stage_and_gradients_are_detectron2s(pair):
    detector, variables, twin, maps, boxes, targets, rules = pair

    def loss(params):
        terms = detector.apply(
            {"params": params},
            IMAGES,
            sizes(),
            jax.tree.map(jnp.asarray, targets),
            keys=jax.random.split(jax.random.key(0)),
            method="loss",
        )
        losses = {name: term.total / term.count for name, term in terms.items()}
        return sum(losses.values()), losses

    gradients, losses = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    objects = [
        (torch.from_numpy(b), torch.from_numpy(labels).long())
        for b, labels in zip(targets.boxes, targets.labels, strict=True)
    ]
    samples = [
        torch.cat([torch.from_numpy(b), of_image])
        for b, (of_image, _) in zip(boxes, objects, strict=True)
    ]
    expected = twin.losses(maps, samples, objects, SIZES)
    assert losses.keys() == expected.keys() and len(losses) == 6
    for name, value in expected.items():
        assert value > 0.01
        np.testing.assert_allclose(losses[name], value.item(), rtol=1e-4)
    sum(expected.values()).backward()
    for level, x in maps.items():
        theirs = torch.from_numpy(to_nhwc(x.grad))
        close(gradients["backbone"][f"c{level}"], theirs, 1e-3)
    state = {f"roi_heads.{name}": x.grad.numpy() for name, x in twin.named_parameters()}
    heads = {k: x for k, x in gradients.items() if k != "backbone"}
    wanted = convert(state, rules, {"params": heads})["params"]
    for ours, theirs in zip(
        jax.tree.leaves(heads), jax.tree.leaves(wanted), strict=True
    ):
        close(ours, torch.from_numpy(np.array(theirs)), 1e-3)


def test_the_stages_are_matched_at_rising_ious():
    # IoUs of 0.55, 0.65 and 0.75 with the object, and one of a side 0.
    boxes = jnp.array(
        [[[0, 0, 10, 5.5], [0, 0, 10, 6.5], [0, 0, 10, 7.5], [0, 0, 10, 0]]]
    )
    valid = jnp.ones((1, 4), bool)
    targets = Targets(
        boxes=jnp.array([[[0, 0, 10, 10.0]]]),
        labels=jnp.array([[2]]),
        valid=jnp.ones((1, 1), bool),
        crowd=jnp.zeros((1, 1), bool),
    )
    for head, first in zip(cascade_rcnn().box_heads, (0, 1, 2), strict=True):
        samples = head.match(boxes, valid, targets)
        assert samples.positive[0].tolist() == [i >= first for i in range(3)] + [False]
        assert samples.valid[0].tolist() == [True] * 3 + [False]
        assert samples.labels[0, 2] == 2


def test_a_detections_probability_is_the_mean_over_the_stages():
    head = BoxHead(1, class_agnostic=True, score_threshold=0.0)
    cascade = Cascade(Passing(), Passing(), Passing(), (head, head))
    stages = [
        BoxOutputs(jnp.log(jnp.array([[[1 - p, p]]])), jnp.full((1, 1, 1, 4), d))
        for p, d in ((0.2, 1.0), (0.6, 0.0))
    ]
    mean = mean_outputs(stages)
    box = Proposals(
        jnp.array([[[2, 2, 6, 8.0]]]), jnp.ones((1, 1)), jnp.ones((1, 1), bool)
    )
    found = cascade.box_heads[-1].detections(mean, box, jnp.array([[16, 16]]))
    np.testing.assert_allclose(found.scores[0, 0], 0.4, rtol=1e-5)
    np.testing.assert_allclose(found.boxes[0, 0], [2, 2, 6, 8], rtol=1e-5)


def test_heads_with_a_box_for_each_class_make_no_cascade():
    outputs = BoxOutputs(jnp.zeros((1, 1, 3)), jnp.zeros((1, 1, 3, 4)))
    with pytest.raises(ValueError, match="class_agnostic is False"):
        BoxHead(2).moved(outputs, jnp.zeros((1, 1, 4)), jnp.array([[8, 8]]))


def test_limits_are_those_of_the_last_stage():
    cascade = cascade_rcnn().with_thresholds(score_threshold=0.5, max_detections=None)
    thresholds = [head.score_threshold for head in cascade.box_heads]
    assert thresholds == [0.05, 0.05, 0.5]
    assert cascade.box_heads[2].max_detections == 100
    with pytest.raises(ValueError, match="Passing has no such field"):
        Cascade(*[Passing()] * 3, (Passing(),)).with_thresholds(nms_threshold=0.5)
