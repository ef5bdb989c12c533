"""The proposal network against torchvision's Faster R-CNN up to its RPN.

Same weights (loaded by name), same images of unequal sizes on one canvas, float32.
Outputs may differ by 1e-4 of their maximum: fifty convolutions whose sums are taken in
another order. Gradients go through twice as many, and SGD adds up the differences of
its steps: 1e-3.
"""

from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.compilation import call_once
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.ops.images import normalize
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.training.config import OptimizerConfig
from fpn_jax.training.optimizer import make_optimizer
from fpn_jax.training.state import TrainState
from fpn_jax.training.step import train_step
from fpn_jax.types import targets_of
from fpn_jax.weights.torchvision import detector_from_torchvision
from tests.support import xla
from tests.support.side_by_side import ALL, close, on_device

torch, torchvision = import_torchvision()

# Both sides divisible by 32; (256, 384) by 64, (224, 352) not: there the stride of the
# anchors on P6 is not 64 in torchvision.
CANVASES = ((256, 384), (224, 352), (160, 160))


def torch_model(depth: int, *, decided: bool):
    """Returns torchvision's Faster R-CNN with frozen norms.

    A decided one has scores far apart and boxes that move, as after training.
    """
    torch.manual_seed(depth)
    detection = torchvision.models.detection
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name=f"resnet{depth}",
        weights=None,
        norm_layer=partial(torchvision.ops.FrozenBatchNorm2d, eps=0.0),
        trainable_layers=5,
    )
    model = randomize_norms(detection.FasterRCNN(backbone, 91))
    if decided:
        with torch.no_grad():
            model.rpn.head.cls_logits.weight *= 30
            model.rpn.head.bbox_pred.weight *= 10
    return model


def our_model(depth: int, **head) -> ProposalNetwork:
    return ProposalNetwork(
        ResNet(depth, norm_epsilon=0.0), FPN(), RPNHead(num_samples=ALL, **head)
    )


def batch_of(canvas: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Returns two images, the second one smaller than the canvas, with objects."""
    random = np.random.default_rng(seed)
    height, width = canvas
    sizes = np.array([[height, width], [height - 41, width - 67]], np.int32)
    images = random.integers(0, 256, (2, *canvas, 3), np.uint8)
    corners = random.uniform(0, 90, (2, 5, 2))
    sides = np.exp(random.uniform(np.log(8), np.log(100), (2, 5, 2)))
    boxes = np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)
    valid = np.array([[True] * 4 + [False], [True] * 2 + [False] * 3])
    return {
        "images": images,
        "sizes": sizes,
        "boxes": boxes,
        "labels": np.zeros((2, 5), np.int32),
        "valid": valid,
        "crowd": np.zeros((2, 5), bool),
    }


def torch_rpn(model, batch):
    """Returns features, then what torchvision's RPN gives: proposals and losses."""
    pixels = normalize(
        *on_device(batch["images"], batch["sizes"]),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    tensor = to_torch(np.asarray(pixels))
    sizes = [tuple(size) for size in batch["sizes"].tolist()]
    images = torchvision.models.detection.image_list.ImageList(tensor, sizes)
    features = model.backbone(tensor)
    targets = [
        {"boxes": torch.from_numpy(boxes[valid])}
        for boxes, valid in zip(batch["boxes"], batch["valid"], strict=True)
    ]
    proposals, losses = model.rpn(images, features, targets)
    return features, proposals, losses


@pytest.fixture(scope="module")
def resnet50():
    theirs, ours = torch_model(50, decided=True), our_model(50)
    return theirs, ours, detector_from_torchvision(numpy_state(theirs), ours)


@pytest.mark.parametrize("canvas", CANVASES)
def test_logits_and_deltas_equal_torchvision(resnet50, canvas):
    theirs, ours, variables = resnet50
    batch = batch_of(canvas)
    with torch.no_grad():
        features, _, _ = torch_rpn(theirs, batch)
        logits, deltas = theirs.rpn.head(list(features.values()))
    outputs = jax.jit(ours.apply)(variables, batch["images"], batch["sizes"])
    for number, level in enumerate(sorted(outputs.objectness)):
        close(outputs.objectness[level], to_nhwc(logits[number]), 1e-4)
        close(outputs.deltas[level], to_nhwc(deltas[number]), 1e-4)


@pytest.mark.parametrize("canvas", CANVASES)
def test_proposals_equal_torchvision_in_order_and_place(resnet50, canvas):
    theirs, ours, variables = resnet50
    batch = batch_of(canvas)
    with torch.no_grad():
        _, proposals, _ = torch_rpn(theirs, batch)
    found = jax.jit(partial(ours.apply, method="detect"))(
        variables, batch["images"], batch["sizes"]
    )
    for image, wanted in enumerate(proposals):
        num = int(found.valid[image].sum())
        assert num == len(wanted)
        boxes, wanted, scores = without_flips(
            np.asarray(found.boxes[image][:num]),
            wanted.numpy(),
            np.asarray(found.scores[image][:num]),
        )
        ties, in_ties = tied(scores)
        assert in_ties <= 0.05 * num
        np.testing.assert_allclose(
            sorted_in_ties(boxes, ties),
            sorted_in_ties(wanted, ties),
            atol=1e-2,
            rtol=0,
        )


def without_flips(ours, theirs, scores):
    """Returns both lists and our scores without boxes that only one of them has.

    There may be two such boxes in each, and each must be explained: it overlaps another
    box by the NMS threshold within 1e-5, so that the last digit of a convolution
    decides; or it is the last of a full list, in the place that such a box left.
    """
    distance = np.abs(ours[:, None] - theirs[None]).max(axis=-1)
    kept = []
    for boxes, nearest in (
        (ours, distance.min(axis=1)),
        (theirs, distance.min(axis=0)),
    ):
        alone = np.flatnonzero(nearest > 1e-2)
        assert len(alone) <= 2
        for row in alone:
            iou = torchvision.ops.box_iou(
                torch.from_numpy(boxes[row : row + 1]), torch.from_numpy(ours)
            )
            assert (iou - 0.7).abs().min() < 1e-5 or row >= len(boxes) - 2
        kept.append(np.delete(np.arange(len(boxes)), alone))
    return ours[kept[0]], theirs[kept[1]], scores[kept[0]]


def tied(scores) -> tuple[np.ndarray, int]:
    """Returns a number for each run of equal scores, and how many rows share one.

    Scores closer than 1e-6 are equal: the two convolutions differ by as much, and so
    may the order.
    """
    ties = np.cumsum(np.diff(np.asarray(scores), prepend=1) < -1e-6)
    _, counts = np.unique(ties, return_counts=True)
    return ties, counts[counts > 1].sum()


def sorted_in_ties(boxes, ties) -> np.ndarray:
    boxes = np.asarray(boxes)
    return boxes[np.lexsort((boxes[:, 0], ties))]


def test_losses_and_every_gradient_equal_torchvision(resnet50):
    theirs, ours, variables = resnet50
    batch = batch_of((224, 352))
    terms, gradients = our_loss_and_gradients(ours, variables, batch)

    set_to_take_all(theirs)
    theirs.rpn.train()
    theirs.zero_grad()
    with signs_in_doubt(theirs.backbone.body.layer4) as doubts:
        _, _, losses = torch_rpn(theirs, batch)
    sum(losses.values()).backward()
    theirs.eval()

    for name, loss in zip(("rpn_objectness", "rpn_box"), losses.values(), strict=True):
        np.testing.assert_allclose(terms[name], loss.item(), rtol=1e-3)
    wanted = gradient_tree(theirs, ours)
    assert jax.tree.structure(gradients) == jax.tree.structure(wanted)
    doubt = np.any(doubts, axis=0)
    assert len(doubts) == 3 and doubt.mean() < 0.005
    for trees in (gradients, wanted):
        for block in trees["backbone"]["stage5"].values():
            block["conv3"]["kernel"] = block["conv3"]["kernel"][..., ~doubt]
    jax.tree.map(partial(close, relative=1e-3), gradients, wanted)


@contextmanager
def signs_in_doubt(stage):
    """Yields the channels of each block's output that a ReLU cuts at zero, or nearly.

    There the last digit of a sum decides whether a cell passes its gradient on. Of the
    77 cells of the last stage one is more than 1e-3 of the gradient of its channel, and
    of those of the blocks before, through the shortcuts.
    """
    doubts = []

    def note(block, _, inputs):
        values = inputs[0].detach().abs()
        if values.shape[1] == block.conv3.out_channels:
            near = values < 1e-6 * values.max()
            doubts.append(near.any(dim=(0, 2, 3)).numpy())

    handles = [
        block.relu.register_forward_pre_hook(partial(note, block)) for block in stage
    ]
    yield doubts
    for handle in handles:
        handle.remove()


def test_ten_steps_of_sgd_have_the_losses_of_torch():
    theirs, ours = torch_model(18, decided=False), our_model(18)
    variables = detector_from_torchvision(numpy_state(theirs), ours)
    batches = [batch_of((160, 160), seed) for seed in range(3)]

    recipe = OptimizerConfig(
        name="sgd",
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=1e-4,
        decay_norms_and_biases=True,
        schedule="constant",
        warmup_steps=0,
    )
    optimizer = make_optimizer(recipe, 10)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        collections={"batch_stats": variables["batch_stats"]},
        opt_state=optimizer.init(variables["params"]),
        key=jax.random.key(0),
        ema=None,
    )
    step = jax.jit(partial(train_step, model=ours, optimizer=optimizer))

    set_to_take_all(theirs)
    theirs.rpn.train()
    sgd = torch.optim.SGD(
        [*theirs.backbone.parameters(), *theirs.rpn.parameters()],
        lr=0.01,
        momentum=0.9,
        weight_decay=1e-4,
    )
    ours_losses, theirs_losses = [], []
    for number in range(10):
        batch = batches[number % len(batches)]
        state, metrics = step(state, batch)
        ours_losses.append(float(metrics["loss"]))
        sgd.zero_grad()
        loss = sum(torch_rpn(theirs, batch)[2].values())
        loss.backward()
        sgd.step()
        theirs_losses.append(loss.item())
    assert theirs_losses[-1] < 0.8 * theirs_losses[0]  # it does learn
    np.testing.assert_allclose(ours_losses, theirs_losses, rtol=1e-3)


def test_an_image_of_size_zero_is_no_part_of_the_loss(resnet50):
    _, ours, variables = resnet50
    batch = batch_of((160, 160))
    alone = {name: array[:1] for name, array in batch.items()}
    batch["sizes"] = batch["sizes"] * np.array([[1], [0]], np.int32)
    loss = jax.jit(partial(ours.apply, method="loss"))
    keys = jax.random.split(jax.random.key(0))
    padded = loss(
        variables, batch["images"], batch["sizes"], targets_of(batch), keys=keys
    )
    single = loss(
        variables, alone["images"], alone["sizes"], targets_of(alone), keys=keys[:1]
    )
    for name, term in single.items():
        assert padded[name].count == term.count
        np.testing.assert_allclose(padded[name].total, term.total, rtol=1e-5)


def test_an_image_without_objects_has_finite_losses_and_gradients(resnet50):
    _, ours, variables = resnet50
    batch = batch_of((160, 160))
    batch["valid"][:] = False
    terms, gradients = our_loss_and_gradients(ours, variables, batch)
    assert terms["rpn_box"] == 0
    assert terms["rpn_objectness"] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_half_precision_ends_at_losses_and_boxes():
    sizes = ((16,), (32,))
    exact = ProposalNetwork(
        Dummy(levels=(4,)), FPN(8), RPNHead(anchor_sizes=sizes, pre_nms=50)
    )
    half = ProposalNetwork(
        exact.backbone.clone(dtype="bfloat16"),
        exact.neck.clone(dtype="bfloat16"),
        exact.head.clone(dtype="bfloat16"),
    )
    batch = batch_of((96, 128))
    inputs = on_device(batch["images"], batch["sizes"])
    variables = call_once(exact.init, jax.random.key(0), *inputs)
    assert jax.eval_shape(half.apply, variables, *inputs).deltas[4].dtype == "bfloat16"

    losses, gradients = our_loss_and_gradients(half, variables, batch)
    expected = jax.jit(partial(exact.apply, method="loss"))(
        variables,
        *on_device(*inputs, targets_of(batch)),
        keys=jax.random.split(jax.random.key(0)),
    )
    for name, value in losses.items():
        assert value.dtype == jnp.float32
        # A dozen layers of 8 bits each.
        term = expected[name]
        np.testing.assert_allclose(value, term.total / term.count, rtol=0.02)
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()

    detections = jax.jit(partial(half.apply, method="detect"))(variables, *inputs)
    assert detections.boxes.dtype == detections.scores.dtype == jnp.float32
    assert np.isfinite(detections.boxes).all() and detections.valid.any()


def test_a_wrong_number_of_anchor_sizes_is_named():
    model = our_model(18, anchor_sizes=((32,), (64,)))
    with pytest.raises(ValueError, match=r"anchor_sizes .* levels \[2, 3, 4, 5, 6\]"):
        jax.eval_shape(
            model.init,
            jax.random.key(0),
            jnp.zeros((1, 64, 64, 3)),
            jnp.full((1, 2), 64),
        )


def our_loss_and_gradients(model, variables, batch):
    def loss(params):
        terms = model.apply(
            variables | {"params": params},
            *on_device(batch["images"], batch["sizes"], targets_of(batch)),
            keys=jax.random.split(jax.random.key(0)),
            method="loss",
        )
        losses = {name: term.total / term.count for name, term in terms.items()}
        return sum(losses.values()), losses

    gradient = jax.jit(jax.grad(loss, has_aux=True), compiler_options=xla.as_users())
    gradients, losses = gradient(variables["params"])
    return losses, gradients


def gradient_tree(model, ours) -> dict:
    """Returns torch's gradients under our names: they are loaded like weights."""
    gradients = {
        name: parameter.grad.numpy()
        for name, parameter in model.named_parameters()
        if not name.startswith("roi_heads")
    }
    return detector_from_torchvision(numpy_state(model) | gradients, ours)["params"]


def set_to_take_all(model) -> None:
    sampler = torchvision.models.detection._utils.BalancedPositiveNegativeSampler
    model.rpn.fg_bg_sampler = sampler(ALL, 0.5)
