"""The mask head: its network, loss and masks, against torchvision."""

from collections import OrderedDict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.box import RoISamples
from fpn_jax.heads.mask import MaskHead, _gathered, _of_class, _selected
from fpn_jax.parity.layouts import numpy_state, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.types import Targets
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision_heads import head_rules

torch, torchvision = import_torchvision()

detection = torchvision.models.detection
CANVAS = (64, 96)
CHANNELS = 8


class TorchHead(torch.nn.Module):
    """torchvision's mask head and predictor, under the names of its Mask R-CNN."""

    def __init__(self, version: int, num_outputs: int):
        super().__init__()
        norm = torch.nn.BatchNorm2d if version == 2 else None
        layers = [CHANNELS] * 4
        self.mask_head = detection.mask_rcnn.MaskRCNNHeads(CHANNELS, layers, 1, norm)
        self.mask_predictor = detection.mask_rcnn.MaskRCNNPredictor(
            CHANNELS, CHANNELS, num_outputs
        )

    def forward(self, features, boxes):
        pool = torchvision.ops.MultiScaleRoIAlign(["2", "3", "4", "5"], 14, 2)
        return self.mask_predictor(self.mask_head(pool(features, boxes, [CANVAS] * 2)))


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
    return Targets(
        boxes=jnp.asarray(random_boxes(number, seed=2)),
        labels=jnp.asarray(random.integers(0, 5, shape), jnp.int32),
        valid=jnp.ones(shape, bool),
        crowd=jnp.zeros(shape, bool),
        masks=jnp.asarray(random.integers(0, 2, (*shape, *CANVAS)), jnp.uint8),
    )


def sample(boxes: np.ndarray, positive: list[int], targets: Targets) -> RoISamples:
    """Returns samples whose first `positive` rows in each image are positive."""
    index = np.random.default_rng(3).integers(
        0, targets.labels.shape[1], boxes.shape[:2]
    )
    rows = np.arange(boxes.shape[1])
    return RoISamples(
        boxes=jnp.asarray(boxes),
        labels=jnp.take_along_axis(targets.labels, jnp.asarray(index), axis=1),
        index=jnp.asarray(index, jnp.int32),
        positive=jnp.asarray(rows < np.array(positive)[:, None]),
        valid=jnp.ones(boxes.shape[:2], bool),
    )


def torch_pyramid(pyramid) -> OrderedDict:
    return OrderedDict((str(level), to_torch(x)) for level, x in pyramid.items())


def pair(version: int, pyramid, boxes) -> tuple[TorchHead, MaskHead, dict]:
    """Returns torchvision's head, ours, and our variables of the same numbers."""
    torch.manual_seed(version)
    reference = randomize_norms(TorchHead(version, 6))
    norm = "frozen" if version == 2 else None
    head = MaskHead(num_classes=5, channels=CHANNELS, norm=norm)
    init = partial(head.init, canvas=CANVAS)
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, boxes)
    return reference, head, convert(numpy_state(reference), head_rules(head), variables)


@pytest.mark.parametrize("version", [1, 2])
def test_outputs_equal_torchvisions(version):
    pyramid, boxes = random_pyramid(), random_boxes(6, seed=0)
    reference, head, variables = pair(version, pyramid, boxes)
    logits = jax.jit(partial(head.apply, canvas=CANVAS))(variables, pyramid, boxes)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        theirs = reference(torch_pyramid(pyramid), list(torch.from_numpy(boxes)))
    assert logits.shape == (2, 6, 28, 28, 6)
    theirs = theirs.numpy().reshape(2, 6, 6, 28, 28).transpose(0, 1, 3, 4, 2)
    # Six layers of sums of up to 72 products in another order.
    np.testing.assert_allclose(logits, theirs, atol=1e-5 * np.abs(theirs).max())


def test_loss_and_gradients_equal_torchvisions():
    pyramid, boxes = random_pyramid(), random_boxes(6, seed=0)
    reference, head, variables = pair(1, pyramid, boxes)
    targets = random_targets(3)
    positive = [4, 2]
    samples = sample(boxes, positive, targets)

    def ours(params, pyramid, boxes):
        logits = head.apply({"params": params}, pyramid, boxes, canvas=CANVAS)
        term = head.loss(logits, samples, targets)["mask"]
        return term.total / term.count

    loss, gradients = jax.jit(jax.value_and_grad(ours))(
        variables["params"], pyramid, boxes
    )

    def rows(x):
        each = zip(np.asarray(x), positive, strict=True)
        return [torch.from_numpy(image[:n].copy()) for image, n in each]

    with torch.compiler.set_stance("force_eager"):
        logits = reference(torch_pyramid(pyramid), rows(boxes))
        their_loss = detection.roi_heads.maskrcnn_loss(
            logits,
            rows(boxes),
            list(torch.from_numpy(np.array(targets.masks))),
            list(torch.from_numpy(np.asarray(targets.labels) + 1).long()),
            [index.long() for index in rows(samples.index)],
        )
    their_loss.backward()
    np.testing.assert_allclose(loss, their_loss.item(), rtol=1e-5)
    state = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    theirs = convert(state, head_rules(head), {"params": gradients})["params"]
    for name, module in gradients.items():
        for leaf, gradient in module.items():
            wanted = theirs[name][leaf]
            atol = 1e-4 * np.abs(wanted).max()
            np.testing.assert_allclose(gradient, wanted, atol=atol, err_msg=name)


def test_negatives_and_padding_take_no_part_in_the_loss():
    boxes, targets = random_boxes(4, seed=0), random_targets(3)
    samples = sample(boxes, [2, 0], targets)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 8, 8, 6)))
    head = MaskHead(num_classes=5)
    term = head.loss(logits, samples, targets)["mask"]
    others = logits.at[0, 2:].set(9).at[1].set(-9)
    changed = head.loss(others, samples, targets)["mask"]
    assert term.count == 2
    padding = samples.replace(valid=samples.valid.at[0, 1].set(False))
    assert head.loss(logits, padding, targets)["mask"].count == 1
    assert term.total == changed.total > 0
    nothing = head.loss(logits, sample(boxes, [0, 0], targets), targets)["mask"]
    assert nothing.total == nothing.count == 0


def test_only_the_objects_own_class_is_trained():
    boxes, targets = random_boxes(2, seed=0), random_targets(3)
    samples = sample(boxes, [1, 1], targets)
    logits = jnp.zeros((2, 2, 4, 4, 6))
    head = MaskHead(num_classes=5)
    gradient = jax.grad(lambda x: head.loss(x, samples, targets)["mask"].total)(logits)
    trained = np.abs(gradient[:, 0]).sum(axis=(1, 2)) > 0
    np.testing.assert_array_equal(
        trained, np.arange(6)[None] == samples.labels[:, :1] + 1
    )


def test_masks_are_those_of_the_boxes_own_classes():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 6)).astype(np.float32)
    labels = np.array([[0, 4, 2], [1, 1, 3]])
    masks = MaskHead(num_classes=5).masks(jnp.asarray(logits), jnp.asarray(labels))
    theirs = detection.roi_heads.maskrcnn_inference(
        torch.from_numpy(logits.reshape(6, 4, 4, 6).transpose(0, 3, 1, 2).copy()),
        [torch.from_numpy(labels.reshape(-1) + 1)],
    )
    np.testing.assert_allclose(
        masks, theirs[0].numpy().reshape(2, 3, 4, 4), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "norm, their_norm", [(None, None), ("batch", torch.nn.BatchNorm2d)]
)
def test_parameter_counts_are_torchvisions(norm, their_norm):
    pyramid = {level: jnp.zeros((1, 8, 8, 256)) for level in range(2, 6)}
    init = partial(MaskHead(norm=norm).init, canvas=(64, 64))
    variables = jax.eval_shape(init, jax.random.key(0), pyramid, jnp.zeros((1, 1, 4)))
    reference = [
        detection.mask_rcnn.MaskRCNNHeads(256, [256] * 4, 1, their_norm),
        detection.mask_rcnn.MaskRCNNPredictor(256, 256, 91),
    ]
    count = sum(p.numel() for module in reference for p in module.parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


def test_bfloat16_gives_float32_masks_and_losses():
    pyramid, boxes = random_pyramid(), random_boxes(2, seed=0)
    head = MaskHead(num_classes=5, num_convs=1, channels=4, dtype="bfloat16")

    @jax.jit
    def run(pyramid, boxes):
        variables = head.init(jax.random.key(0), pyramid, boxes, canvas=CANVAS)
        logits = head.apply(variables, pyramid, boxes, canvas=CANVAS)
        targets = random_targets(3)
        term = head.loss(logits, sample(boxes, [2, 2], targets), targets)["mask"]
        return logits, head.masks(logits, jnp.zeros((2, 2), jnp.int32)), term.total

    logits, masks, total = run(pyramid, boxes)
    assert logits.dtype == jnp.bfloat16
    assert masks.dtype == total.dtype == jnp.float32


def test_targets_without_masks_are_refused():
    boxes, targets = random_boxes(2, seed=0), random_targets(3)
    samples = sample(boxes, [1, 1], targets)
    with pytest.raises(ValueError, match="targets.masks is None"):
        MaskHead().loss(
            jnp.zeros((2, 2, 4, 4, 91)), samples, targets.replace(masks=None)
        )


def test_a_tpu_selects_the_logits_that_others_gather():
    random = np.random.default_rng(0)
    logits = jnp.array(random.normal(size=(2, 5, 4, 4, 7)), jnp.float32)
    channel = jnp.array(random.integers(0, 7, (2, 5)), jnp.int32)
    weights = jnp.array(random.normal(size=(2, 5, 4, 4)), jnp.float32)
    selected, pull_selected = jax.vjp(lambda x: _selected(x, channel), logits)
    gathered, pull_gathered = jax.vjp(lambda x: _gathered(x, channel), logits)
    np.testing.assert_array_equal(selected, gathered)
    np.testing.assert_array_equal(pull_selected(weights)[0], pull_gathered(weights)[0])

    def loss(logits):
        return (_of_class(logits, channel - 1) * weights).sum()

    traced = jax.jit(jax.value_and_grad(loss)).trace(logits)
    for platform, moves in (("tpu", False), ("cpu", True), ("cuda", False)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.gather" in text) == moves, platform
        assert ("stablehlo.scatter" in text) == moves, platform
    np.testing.assert_array_equal(jax.grad(loss)(logits), pull_gathered(weights)[0])
