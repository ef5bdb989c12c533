"""The box head: its network, samples, loss and detections, against torchvision."""

from collections import OrderedDict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.box import BoxHead, BoxOutputs, RoISamples
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.parity.layouts import numpy_state, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.types import Proposals, Targets
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision_heads import head_rules

torch, torchvision = import_torchvision()

detection = torchvision.models.detection
CANVAS = (192, 256)
SIZES = np.array([[192, 256], [150, 200]], np.int32)


def random_boxes(*shape: int, seed: int = 0, largest: float = 150.0) -> np.ndarray:
    """Returns boxes of side 4 … largest that lie on the canvas at least in part."""
    random = np.random.default_rng(seed)
    corners = random.uniform(-20, 180, (*shape, 2))
    sides = np.exp(random.uniform(np.log(4), np.log(largest), (*shape, 2)))
    return np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)


def random_pyramid(channels: int = 8) -> dict[int, np.ndarray]:
    random = np.random.default_rng(0)
    grids = {level: (CANVAS[0] >> level, CANVAS[1] >> level) for level in range(2, 7)}
    return {
        level: random.normal(size=(2, *grid, channels)).astype(np.float32)
        for level, grid in grids.items()
    }


class TorchHead(torch.nn.Module):
    """torchvision's box head and predictor, under the names of its R-CNNs."""

    def __init__(self, box_head: torch.nn.Module, num_classes: int):
        super().__init__()
        self.box_head = box_head
        self.box_predictor = detection.faster_rcnn.FastRCNNPredictor(32, num_classes)

    def forward(self, features, boxes, sizes):
        pool = torchvision.ops.MultiScaleRoIAlign(["2", "3", "4", "5"], 7, 2)
        return self.box_predictor(self.box_head(pool(features, boxes, sizes)))


def torch_head(version: int) -> TorchHead:
    torch.manual_seed(version)
    if version == 1:
        box_head = detection.faster_rcnn.TwoMLPHead(8 * 49, 32)
    else:
        box_head = detection.faster_rcnn.FastRCNNConvFCHead(
            (8, 7, 7), [8, 8], [32], norm_layer=torch.nn.BatchNorm2d
        )
    return randomize_norms(TorchHead(box_head, 6))


def our_head(version: int) -> BoxHead:
    fields = {"num_convs": 2, "num_hidden": 1, "norm": "batch"} if version == 2 else {}
    return BoxHead(num_classes=5, hidden_features=32, **fields)


def load(head: BoxHead, reference: TorchHead, pyramid, boxes) -> dict:
    init = partial(head.init, canvas=CANVAS)
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, boxes)
    return convert(numpy_state(reference), head_rules(head), variables)


@pytest.mark.parametrize("version", [1, 2])
def test_outputs_equal_torchvisions(version):
    pyramid, boxes = random_pyramid(), random_boxes(2, 20)
    reference, head = torch_head(version), our_head(version)
    variables = load(head, reference, pyramid, boxes)
    outputs = jax.jit(partial(head.apply, canvas=CANVAS))(variables, pyramid, boxes)
    with torch.no_grad():
        features = OrderedDict((str(k), to_torch(x)) for k, x in pyramid.items())
        # The pooling infers its scales from the largest image.
        logits, deltas = reference(
            features, list(torch.from_numpy(boxes)), [CANVAS, CANVAS]
        )
    # Sums of 392 products in another order.
    np.testing.assert_allclose(
        outputs.logits, logits.numpy().reshape(2, 20, 6), atol=2e-5
    )
    np.testing.assert_allclose(
        outputs.deltas, deltas.numpy().reshape(2, 20, 6, 4), atol=2e-5
    )


def test_padding_is_no_part_of_the_statistics_of_a_batch():
    pyramid, boxes = random_pyramid(), random_boxes(2, 20)
    valid = np.arange(20)[None] < np.array([[13], [9]])
    reference, head = torch_head(2), our_head(2)
    variables = load(head, reference, pyramid, boxes)
    apply = jax.jit(
        partial(head.apply, canvas=CANVAS, train=True, mutable=["batch_stats"])
    )
    outputs, updates = apply(variables, pyramid, boxes, valid)
    reference.train()
    with torch.no_grad():
        features = OrderedDict((str(k), to_torch(x)) for k, x in pyramid.items())
        of_images = [torch.from_numpy(b[v]) for b, v in zip(boxes, valid, strict=True)]
        logits, _ = reference(features, of_images, [CANVAS, CANVAS])
    np.testing.assert_allclose(outputs.logits[valid], logits.numpy(), atol=2e-5)
    expected = load(head, reference, pyramid, boxes)["batch_stats"]
    for name, norm in expected.items():
        mean = updates["batch_stats"][name]["norm"]["mean"]
        np.testing.assert_allclose(mean, norm["norm"]["mean"], atol=1e-5)

    outputs, updates = apply(variables, pyramid, boxes, np.zeros_like(valid))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((outputs, updates)))


@pytest.mark.parametrize(
    "fields, count",
    [
        ({}, 13_895_680 + 466_375),
        ({"num_convs": 4, "num_hidden": 1, "norm": "batch"}, 15_207_424 + 466_375),
        ({"num_classes": 1}, 13_895_680 + 10_250),
    ],
)
def test_parameter_counts_are_torchvisions(fields, count):
    pyramid = {level: jnp.zeros((1, 8, 8, 256)) for level in range(2, 6)}
    init = partial(BoxHead(**fields).init, canvas=(64, 64))
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, jnp.zeros((1, 1, 4)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_linear_layers_start_as_torchs_do():
    init = jax.jit(partial(BoxHead(num_classes=5).init, canvas=CANVAS))
    params = init(jax.random.key(0), random_pyramid(), random_boxes(2, 1))["params"]
    for name, fan_in in (("fc6", 49 * 8), ("fc7", 1024), ("box_deltas", 1024)):
        bound = fan_in**-0.5
        for leaf in params[name].values():
            assert 0.8 * bound < np.abs(leaf).max() <= bound
            assert abs(np.abs(leaf).mean() / bound - 0.5) < 0.2  # of 24 at least


@pytest.mark.parametrize("levels", [(5,), (2, 3)])
def test_features_come_from_the_levels_named(levels):
    pyramid, boxes = random_pyramid(), random_boxes(2, 30)
    head = BoxHead(num_classes=2, pool=RoIPool(levels=levels), hidden_features=8)
    init, apply = (
        jax.jit(partial(function, canvas=CANVAS))
        for function in (head.init, head.apply)
    )
    variables = init(jax.random.key(0), pyramid, boxes)
    expected = apply(variables, pyramid, boxes)
    others = {k: x if k in levels else np.nan * x for k, x in pyramid.items()}
    outputs = apply(variables, others, boxes)
    np.testing.assert_array_equal(outputs.logits, expected.logits)


def scene() -> tuple[Proposals, Targets]:
    """Returns three proposals of one image with two objects, a crowd and padding."""
    proposals = Proposals(
        boxes=jnp.array(
            [
                [[0, 0, 10, 10.0], [0, 0, 10, 6], [0, 0, 10, 4], [50, 50, 60, 60]]
                + [[80, 80, 90, 90], [0, 0, 10, 9]]
            ]
        ),
        scores=jnp.ones((1, 6)),
        valid=jnp.array([[True] * 5 + [False]]),
    )
    targets = Targets(
        boxes=jnp.array(
            [[[20, 20, 40, 40.0], [0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 10, 4]]]
        ),
        labels=jnp.array([[3, 1, 2, 4]]),
        valid=jnp.array([[True, True, True, False]]),
        crowd=jnp.array([[False, False, True, False]]),
    )
    return proposals, targets


def test_candidates_are_told_apart_as_by_hand():
    proposals, targets = scene()
    # Positives: proposals 0 and 1, which overlap object 1 by 1 and 0.6, and both
    # objects themselves. Negatives: 2, of IoU 0.4, and 3, whose object is a crowd, and
    # 4. Proposal 5 and object 3 are padding.
    head = BoxHead(num_classes=5, num_samples=12, positive_fraction=0.5)
    samples = jax.jit(head.sample)(
        proposals,
        targets,
        jnp.array([[99, 99]]),
        keys=jax.random.split(jax.random.key(0), 1),
    )
    assert samples.valid[0].tolist() == [True] * 7 + [False] * 5
    assert samples.positive[0].tolist() == [True] * 4 + [False] * 8
    found = {
        (*box, label, row)
        for box, label, row in zip(
            samples.boxes[0, :4].tolist(),
            samples.labels[0, :4].tolist(),
            samples.index[0, :4].tolist(),
            strict=True,
        )
        for box in [tuple(box)]
    }
    assert found == {
        (0, 0, 10, 10, 1, 1),
        (0, 0, 10, 6, 1, 1),
        (20, 20, 40, 40, 3, 0),
    }
    negatives = {tuple(box) for box in samples.boxes[0, 4:7].tolist()}
    assert negatives == {(0, 0, 10, 4), (50, 50, 60, 60), (80, 80, 90, 90)}


def test_a_quarter_of_a_sample_is_positive_at_most():
    objects = random_boxes(2, 6, seed=1)
    near = np.repeat(objects, 10, axis=1) + 0.5  # 60 proposals that hit, 100 that miss
    far = near[:, :1] + np.float32(1000) + np.arange(100, dtype=np.float32)[:, None]
    boxes = np.concatenate([near, far], axis=1)
    proposals = Proposals(boxes, np.ones((2, 160)), np.ones((2, 160), bool))
    targets = Targets(
        objects, np.ones((2, 6), int), np.ones((2, 6), bool), np.zeros((2, 6), bool)
    )
    head = BoxHead(num_classes=5, num_samples=64)
    samples = jax.jit(head.sample)(
        proposals, targets, SIZES, keys=jax.random.split(jax.random.key(1))
    )
    assert samples.positive.sum(axis=1).tolist() == [16, 16]
    assert samples.valid.all()
    positives = head.positives(samples)
    assert positives.positive.shape == (2, 16) and positives.positive.all()
    assert not np.array_equal(samples.index[0], samples.index[1])  # a key for each


def test_an_image_of_size_zero_has_no_samples():
    proposals, targets = scene()
    samples = jax.jit(BoxHead(num_classes=5, num_samples=8).sample)(
        proposals,
        targets,
        jnp.zeros((1, 2), int),
        keys=jax.random.split(jax.random.key(0), 1),
    )
    assert not samples.valid.any() and not samples.positive.any()


def random_samples(num: int = 40, num_valid: int = 33):
    """Returns outputs, samples and targets of two images, the last rows padding."""
    random = np.random.default_rng(2)
    outputs = BoxOutputs(
        logits=random.normal(size=(2, num, 6)).astype(np.float32),
        deltas=random.normal(size=(2, num, 6, 4)).astype(np.float32),
    )
    rows = np.arange(num)
    samples = RoISamples(
        boxes=random_boxes(2, num, seed=3),
        labels=random.integers(0, 5, (2, num)),
        index=random.integers(0, 7, (2, num)),
        positive=np.broadcast_to(rows < 9, (2, num)),
        valid=np.broadcast_to(rows < num_valid, (2, num)),
    )
    targets = Targets(
        boxes=random_boxes(2, 7, seed=4),
        labels=np.zeros((2, 7), int),
        valid=np.ones((2, 7), bool),
        crowd=np.zeros((2, 7), bool),
    )
    return jax.tree.map(jnp.asarray, (outputs, samples, targets))


def test_losses_and_gradients_equal_torchvisions():
    outputs, samples, targets = random_samples()

    def loss(outputs):
        terms = BoxHead(num_classes=5).loss(outputs, samples, targets)
        losses = [terms[name].total / terms[name].count for name in ("class", "box")]
        return sum(losses), losses

    gradients, losses = jax.jit(jax.grad(loss, has_aux=True))(outputs)

    valid = np.asarray(samples.valid)
    logits, deltas = (
        torch.from_numpy(np.asarray(x)[valid].reshape(valid.sum(), -1)).requires_grad_()
        for x in (outputs.logits, outputs.deltas)
    )
    labels = np.where(samples.positive, samples.labels + 1, 0)[valid]
    objects = np.stack(
        [b[i] for b, i in zip(targets.boxes, samples.index, strict=True)]
    )
    coder = detection._utils.BoxCoder((10.0, 10.0, 5.0, 5.0))
    wanted = coder.encode_single(
        *(torch.from_numpy(x[valid]) for x in (objects, np.asarray(samples.boxes)))
    )
    expected = detection.roi_heads.fastrcnn_loss(
        logits, deltas, [torch.from_numpy(labels).long()], [wanted]
    )
    np.testing.assert_allclose(losses, [x.item() for x in expected], rtol=1e-5)
    sum(expected).backward()
    for ours, theirs in ((gradients.logits, logits), (gradients.deltas, deltas)):
        ours = np.asarray(ours)
        assert not ours[~valid].any()
        theirs = theirs.grad.numpy().reshape(ours[valid].shape)
        np.testing.assert_allclose(ours[valid], theirs, atol=1e-6)


def test_only_the_deltas_of_the_objects_class_are_trained():
    outputs, samples, targets = random_samples()

    def loss(deltas):
        terms = BoxHead(num_classes=5).loss(
            outputs.replace(deltas=deltas), samples, targets
        )
        return terms["box"].total

    moved = (np.asarray(jax.jit(jax.grad(loss))(outputs.deltas)) != 0).any(axis=-1)
    rows = np.asarray(samples.labels)[..., None] + 1 == np.arange(6)
    assert np.array_equal(moved, rows & np.asarray(samples.positive)[..., None])


def random_detections(num: int, scale: float, seed: int = 5):
    """Returns outputs of proposals, as sharp as `scale`, and the proposals."""
    random = np.random.default_rng(seed)
    outputs = BoxOutputs(
        logits=(scale * random.normal(size=(2, num, 6))).astype(np.float32),
        deltas=random.normal(size=(2, num, 6, 4)).astype(np.float32),
    )
    scores = -np.sort(-random.uniform(size=(2, num)).astype(np.float32))
    valid = np.broadcast_to(np.arange(num) < num - 3, (2, num))
    return outputs, Proposals(random_boxes(2, num, seed=seed), scores, valid)


@pytest.mark.parametrize(
    "num, scale",
    [
        (10, 1.0),  # a handful
        (100, 3.0),  # more than 100 that stay
        (1000, 0.5),  # low scores: thousands of candidates
    ],
)
def test_detections_equal_torchvisions(num, scale):
    outputs, proposals = random_detections(num, scale)
    found = jax.jit(BoxHead(num_classes=5).detections)(outputs, proposals, SIZES)
    heads = detection.roi_heads.RoIHeads(
        *[None] * 3, 0.5, 0.5, 512, 0.25, None, 0.05, 0.5, 100
    )
    for image in range(2):
        valid = proposals.valid[image]
        num_valid = valid.sum()
        boxes, scores, labels = heads.postprocess_detections(
            torch.from_numpy(outputs.logits[image, valid]),
            torch.from_numpy(outputs.deltas[image, valid].reshape(num_valid, -1)),
            [torch.from_numpy(proposals.boxes[image, valid])],
            [tuple(SIZES[image].tolist())],
        )
        rows = np.asarray(found.valid[image])
        assert rows.sum() == len(boxes[0])
        assert num < 100 or len(boxes[0]) == 100
        np.testing.assert_array_equal(found.labels[image][rows] + 1, labels[0])
        np.testing.assert_allclose(found.scores[image][rows], scores[0], atol=1e-6)
        np.testing.assert_allclose(found.boxes[image][rows], boxes[0], atol=1e-3)


def test_detections_by_hand():
    # Proposal 0 says class 1 at 0.9, and is moved by half its width; 1 says the same at
    # 0.8 of nearly the same place, and class 0 at 0.1; 2 is all background; 3 ends
    # outside of the image.
    probabilities = [[0.1, 0, 0.9], [0.1, 0.1, 0.8], [1, 0, 0], [0, 0, 1]]
    outputs = BoxOutputs(
        logits=jnp.log(jnp.array([probabilities]) + 1e-9),
        deltas=jnp.zeros((1, 4, 3, 4)).at[0, 0, 2, 0].set(5.0),  # 10 dx
    )
    boxes = jnp.array([[[0, 0, 8, 8.0], [4, 0, 13, 8], [4, 0, 12, 8], [30, 0, 38, 8]]])
    proposals = Proposals(boxes, jnp.ones((1, 4)), jnp.ones((1, 4), bool))
    head = BoxHead(num_classes=2, max_detections=5)
    found = jax.jit(head.detections)(outputs, proposals, jnp.array([[20, 12]]))
    assert found.valid[0].tolist() == [True, True, False, False, False]
    assert found.labels[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(found.scores[0, :2], [0.9, 0.1], rtol=1e-5)
    np.testing.assert_allclose(found.boxes[0, :2], [[4, 0, 12, 8]] * 2, atol=1e-5)


def test_padding_changes_no_detection():
    outputs, proposals = random_detections(20, 2.0)
    detections = jax.jit(BoxHead(num_classes=5).detections)
    found = detections(outputs, proposals, SIZES)
    outputs.logits[:, 17:] = 50 * np.arange(6)  # sure of class 4
    changed = detections(outputs, proposals, SIZES)
    jax.tree.map(np.testing.assert_array_equal, found, changed)
