"""The keypoint head: its network, loss and keypoints, against torchvision."""

from collections import OrderedDict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.box import RoISamples
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.parity.layouts import numpy_state, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.types import Targets
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision_heads import head_rules

torch, torchvision = import_torchvision()

detection = torchvision.models.detection
CANVAS = (64, 96)
CHANNELS = 8
POINTS = 3


class TorchHead(torch.nn.Module):
    """torchvision's head and predictor, under the names of its Keypoint R-CNN."""

    def __init__(self):
        super().__init__()
        self.keypoint_head = detection.keypoint_rcnn.KeypointRCNNHeads(
            CHANNELS, [CHANNELS] * 8
        )
        self.keypoint_predictor = detection.keypoint_rcnn.KeypointRCNNPredictor(
            CHANNELS, POINTS
        )

    def forward(self, features, boxes):
        pool = torchvision.ops.MultiScaleRoIAlign(["2", "3", "4", "5"], 14, 2)
        pooled = pool(features, boxes, [CANVAS] * 2)
        return self.keypoint_predictor(self.keypoint_head(pooled))


def random_pyramid() -> dict[int, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        level: random.normal(
            size=(2, CANVAS[0] >> level, CANVAS[1] >> level, CHANNELS)
        ).astype(np.float32)
        for level in range(2, 6)
    }


def random_boxes(number: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    low = random.uniform(0, 40, (2, number, 2))
    boxes = np.concatenate([low, low + random.uniform(2, 56, low.shape)], axis=-1)
    return boxes.clip(0, np.tile(CANVAS[::-1], 2)).astype(np.float32)


def random_targets(number: int) -> Targets:
    random = np.random.default_rng(1)
    shape = (2, number)
    points = random.uniform(10, 70, (*shape, POINTS, 2))
    visibility = random.integers(0, 3, (*shape, POINTS, 1))
    return Targets(
        boxes=jnp.asarray(random_boxes(number, seed=2)),
        labels=jnp.zeros(shape, jnp.int32),
        valid=jnp.ones(shape, bool),
        crowd=jnp.zeros(shape, bool),
        keypoints=jnp.asarray(np.concatenate([points, visibility], -1), jnp.float32),
    )


def sample(boxes: np.ndarray, positive: list[int], targets: Targets) -> RoISamples:
    """Returns samples whose first `positive` rows in each image are positive."""
    index = np.random.default_rng(3).integers(
        0, targets.labels.shape[1], boxes.shape[:2]
    )
    rows = np.arange(boxes.shape[1])
    return RoISamples(
        boxes=jnp.asarray(boxes),
        labels=jnp.zeros(boxes.shape[:2], jnp.int32),
        index=jnp.asarray(index, jnp.int32),
        positive=jnp.asarray(rows < np.array(positive)[:, None]),
        valid=jnp.ones(boxes.shape[:2], bool),
    )


def torch_pyramid(pyramid) -> OrderedDict:
    return OrderedDict((str(level), to_torch(x)) for level, x in pyramid.items())


def pair(pyramid, boxes) -> tuple[TorchHead, KeypointHead, dict]:
    """Returns torchvision's head, ours, and our variables of the same numbers."""
    torch.manual_seed(0)
    reference = TorchHead()
    head = KeypointHead(num_keypoints=POINTS, channels=CHANNELS)
    init = partial(head.init, canvas=CANVAS)
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, boxes)
    return reference, head, convert(numpy_state(reference), head_rules(head), variables)


def test_keypoints_equal_torchvisions():
    pyramid, boxes = random_pyramid(), random_boxes(6, seed=0)
    reference, head, variables = pair(pyramid, boxes)

    @jax.jit
    def ours(variables, pyramid, boxes):
        heatmaps = head.apply(variables, pyramid, boxes, canvas=CANVAS)
        return heatmaps, *head.keypoints(heatmaps, boxes)

    heatmaps, points, scores = ours(variables, pyramid, boxes)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        theirs = reference(torch_pyramid(pyramid), list(torch.from_numpy(boxes)))
        their_points, their_scores = detection.roi_heads.keypointrcnn_inference(
            theirs, list(torch.from_numpy(boxes))
        )
    assert heatmaps.shape == (2, 6, 56, 56, POINTS)
    theirs = theirs.numpy().reshape(2, 6, POINTS, 56, 56).transpose(0, 1, 3, 4, 2)
    # Nine layers of sums of up to 72 products in another order.
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(heatmaps, theirs, atol=1e-5 * scale)
    np.testing.assert_allclose(points, torch.stack(their_points)[..., :2], atol=1e-4)
    np.testing.assert_allclose(scores, torch.stack(their_scores), atol=1e-5 * scale)


def test_loss_and_gradients_equal_torchvisions():
    pyramid, boxes = random_pyramid(), random_boxes(6, seed=0)
    reference, head, variables = pair(pyramid, boxes)
    targets = random_targets(3)
    positive = [5, 3]
    samples = sample(boxes, positive, targets)

    def ours(params, pyramid, boxes):
        heatmaps = head.apply({"params": params}, pyramid, boxes, canvas=CANVAS)
        term = head.loss(heatmaps, samples, targets)["keypoint"]
        return term.total / term.count

    loss, gradients = jax.jit(jax.value_and_grad(ours))(
        variables["params"], pyramid, boxes
    )

    def rows(x):
        each = zip(np.asarray(x), positive, strict=True)
        return [torch.from_numpy(image[:n].copy()) for image, n in each]

    with torch.compiler.set_stance("force_eager"):
        heatmaps = reference(torch_pyramid(pyramid), rows(boxes))
    their_loss = detection.roi_heads.keypointrcnn_loss(
        heatmaps,
        rows(boxes),
        list(torch.from_numpy(np.array(targets.keypoints))),
        [index.long() for index in rows(samples.index)],
    )
    their_loss.backward()
    np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-5)
    state = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    theirs = convert(state, head_rules(head), {"params": gradients})["params"]
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))
    for name, module in gradients.items():
        for leaf, gradient in module.items():
            wanted = theirs[name][leaf]
            # The softmax's gradient adds up to 0 over the cells: so does that of the
            # last bias, which is rounding in both.
            atol = 1e-4 * np.abs(wanted).max() + 1e-6 * largest
            np.testing.assert_allclose(gradient, wanted, atol=atol, err_msg=name)


def test_what_does_not_count_has_no_loss():
    boxes, targets = random_boxes(4, seed=0), random_targets(3)
    head = KeypointHead(num_keypoints=POINTS)
    heatmaps = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 8, 8, POINTS)))
    term = head.loss(heatmaps, sample(boxes, [4, 0], targets), targets)["keypoint"]
    others = head.loss(heatmaps.at[1].set(5), sample(boxes, [4, 0], targets), targets)[
        "keypoint"
    ]
    assert 0 < term.count < 4 * POINTS
    assert term.total == others.total > 0
    hidden = targets.replace(keypoints=targets.keypoints.at[..., 2].set(0))
    for nothing in (
        head.loss(heatmaps, sample(boxes, [0, 0], targets), targets),
        head.loss(heatmaps, sample(boxes, [4, 4], targets), hidden),
    ):
        assert nothing["keypoint"].total == nothing["keypoint"].count == 0


def test_parameter_counts_are_torchvisions():
    pyramid = {level: jnp.zeros((1, 8, 8, 256)) for level in range(2, 6)}
    init = partial(KeypointHead().init, canvas=(64, 64))
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, jnp.zeros((1, 1, 4)))
    reference = [
        detection.keypoint_rcnn.KeypointRCNNHeads(256, [512] * 8),
        detection.keypoint_rcnn.KeypointRCNNPredictor(512, 17),
    ]
    count = sum(p.numel() for module in reference for p in module.parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize(
    "keypoints, shape", [(None, "None"), (jnp.zeros((2, 3, 5, 3)), r"\(2, 3, 5, 3\)")]
)
def test_targets_without_the_heads_keypoints_are_refused(keypoints, shape):
    boxes, targets = random_boxes(2, seed=0), random_targets(3)
    samples = sample(boxes, [1, 1], targets)
    heatmaps = jnp.zeros((2, 2, 4, 4, POINTS))
    with pytest.raises(ValueError, match=f"P = 3 keypoints of the head, got {shape}"):
        KeypointHead(num_keypoints=POINTS).loss(
            heatmaps, samples, targets.replace(keypoints=keypoints)
        )
