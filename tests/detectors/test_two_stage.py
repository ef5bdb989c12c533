"""The two-stage detector against torchvision's Faster R-CNN.

Same weights (loaded by name), same images of unequal sizes on one canvas, float32.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.compilation import call_once
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.ops.images import normalize
from fpn_jax.parity.layouts import numpy_state, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.types import targets_of
from fpn_jax.weights.torchvision import detector_from_torchvision
from tests.support.compilations import count_compilations
from tests.support.side_by_side import ALL, on_device

torch, torchvision = import_torchvision()

detection = torchvision.models.detection
CANVASES = ((128, 192), (96, 160), (160, 160))
NUM_CLASSES, HIDDEN = 5, 64
PROPOSALS = 60


def torch_model():
    """Returns torchvision's Faster R-CNN on ResNet-18 with frozen norms.

    Its proposals have scores far apart, as after training.
    """
    torch.manual_seed(0)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        norm_layer=partial(torchvision.ops.FrozenBatchNorm2d, eps=0.0),
        trainable_layers=5,
    )
    model = detection.FasterRCNN(
        backbone,
        box_head=detection.faster_rcnn.TwoMLPHead(256 * 49, HIDDEN),
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(HIDDEN, NUM_CLASSES + 1),
        rpn_post_nms_top_n_train=PROPOSALS,
        rpn_post_nms_top_n_test=200,
    )
    with torch.no_grad():
        model.rpn.head.cls_logits.weight *= 30
        model.rpn.head.bbox_pred.weight *= 10
    return randomize_norms(model)


@torch.no_grad()
def decide(model) -> None:
    """Spreads the class logits and moves the boxes, as training does.

    Of the 200 proposals of an image some tens are then probably not background.
    """
    predictor = model.roi_heads.box_predictor
    logits = []
    hook = predictor.register_forward_hook(lambda *args: logits.append(args[-1][0]))
    run_torch(model, batch_of(CANVASES[0]))
    hook.remove()
    spread, mean = torch.std_mean(logits[0] - predictor.cls_score.bias, dim=0)
    predictor.cls_score.weight *= (3 / spread)[:, None]
    predictor.cls_score.bias[:] = -3 * mean / spread
    predictor.cls_score.bias[0] += 9
    predictor.bbox_pred.weight *= 5


def our_model(**box_head) -> TwoStage:
    return TwoStage(
        ResNet(18, norm_epsilon=0.0),
        FPN(),
        RPNHead(num_samples=ALL, post_nms=200, training_post_nms=PROPOSALS),
        BoxHead(num_classes=NUM_CLASSES, hidden_features=HIDDEN, **box_head),
    )


def run_torch(model, batch):
    """Returns what torchvision's RPN and RoI heads give: detections and losses."""
    pixels = normalize(
        *on_device(batch["images"], batch["sizes"]),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    tensor = to_torch(np.asarray(pixels))
    sizes = [tuple(size) for size in batch["sizes"].tolist()]
    features = model.backbone(tensor)
    targets = [
        {
            "boxes": torch.from_numpy(boxes[valid]),
            "labels": torch.from_numpy(labels[valid]),
        }
        for boxes, labels, valid in zip(
            batch["boxes"], batch["labels"] + 1, batch["valid"], strict=True
        )
    ]
    images = detection.image_list.ImageList(tensor, sizes)
    proposals, rpn_losses = model.rpn(images, features, targets)
    detections, losses = model.roi_heads(features, proposals, sizes, targets)
    return detections, rpn_losses | losses


def batch_of(canvas: tuple[int, int], seed: int = 0) -> dict:
    """Returns two images, the second one smaller than the canvas, with objects.

    Patches of one color under noise: features differ from place to place, and no two
    are equal.
    """
    random = np.random.default_rng(seed)
    height, width = canvas
    patches = random.integers(30, 226, (2, height // 16, width // 16, 3))
    noise = random.integers(-30, 30, (2, height, width, 3))
    sizes = np.array([[height, width], [height - 21, width - 37]], np.int32)
    low = random.uniform(0, 0.5, (2, 5, 2))
    high = low + random.uniform(0.1, 0.5, (2, 5, 2))
    scale = sizes[:, None, ::-1]
    return {
        "images": (patches.repeat(16, axis=1).repeat(16, axis=2) + noise).astype(
            "uint8"
        ),
        "sizes": sizes,
        "boxes": np.concatenate([low * scale, high * scale], -1).astype(np.float32),
        "labels": random.integers(0, NUM_CLASSES, (2, 5)),
        "valid": np.array([[True] * 4 + [False], [True] * 2 + [False] * 3]),
        "crowd": np.zeros((2, 5), bool),
    }


@pytest.fixture(scope="module")
def decided():
    theirs, ours = torch_model(), our_model()
    decide(theirs)
    return theirs, ours, detector_from_torchvision(numpy_state(theirs), ours)


@pytest.mark.parametrize("canvas", CANVASES)
def test_detections_equal_torchvision(decided, canvas):
    theirs, ours, variables = decided
    batch = batch_of(canvas)
    with torch.no_grad():
        wanted, _ = run_torch(theirs, batch)
    found = jax.jit(partial(ours.apply, method="detect"))(
        variables, batch["images"], batch["sizes"]
    )
    for image, expected in enumerate(wanted):
        valid = np.asarray(found.valid[image])
        assert 10 <= valid.sum() == len(expected["boxes"]) < 100
        # Boxes go through four exponentials of sums over twenty layers.
        for name, tolerance in (("boxes", 0.05), ("scores", 1e-4)):
            ours_of = np.asarray(getattr(found, name)[image])[valid]
            np.testing.assert_allclose(
                ours_of, expected[name].numpy(), atol=tolerance, rtol=0
            )
        np.testing.assert_array_equal(
            found.labels[image][valid] + 1, expected["labels"].numpy()
        )


def small_model(dtype=None, **box_head) -> TwoStage:
    """Returns a narrow detector without norms on one level."""
    return TwoStage(
        Dummy(levels=(4,), dtype=dtype),
        FPN(8, dtype=dtype),
        RPNHead(
            anchor_sizes=((16,), (32,)),
            num_samples=64,
            pre_nms=50,
            training_pre_nms=50,
            dtype=dtype,
        ),
        BoxHead(
            num_classes=NUM_CLASSES,
            pool=RoIPool(levels=(4,)),
            hidden_features=32,
            num_samples=32,
            dtype=dtype,
            **box_head,
        ),
    )


@pytest.fixture(scope="module")
def small():
    model = small_model()
    batch = batch_of((96, 128))
    inputs = on_device(batch["images"], batch["sizes"])
    return model, call_once(model.init, jax.random.key(0), *inputs), batch


def test_an_image_without_objects_has_finite_losses_and_gradients(small):
    model, variables, batch = small
    batch = batch | {"valid": np.zeros_like(batch["valid"])}
    losses, gradients = our_losses_and_gradients(model, variables, batch)
    assert losses["rpn_box"] == losses["box"] == 0
    assert losses["rpn_objectness"] > 0 and losses["class"] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_an_image_of_size_zero_is_no_part_of_the_loss(small):
    model, variables, batch = small
    alone = {name: array[:1] for name, array in batch.items()}
    padded = batch | {"sizes": batch["sizes"] * np.array([[1], [0]])}
    keys = jax.random.split(jax.random.key(0))
    loss = jax.jit(partial(model.apply, method="loss"))
    padded, single = (
        loss(
            variables,
            b["images"],
            b["sizes"],
            targets_of(b),
            keys=keys[: len(b["sizes"])],
        )
        for b in (padded, alone)
    )
    for name, term in single.items():
        assert padded[name].count == term.count > 0
        np.testing.assert_allclose(padded[name].total, term.total, rtol=1e-5)


def test_an_image_of_size_zero_has_no_detections(small):
    _, variables, batch = small
    model = small_model(score_threshold=0.0)
    sizes = batch["sizes"] * np.array([[1], [0]])
    found = jax.jit(partial(model.apply, method="detect"))(
        variables, batch["images"], sizes
    )
    assert found.valid.any(axis=1).tolist() == [True, False]


def test_equal_keys_draw_equal_samples_for_both_stages(small):
    model, variables, batch = small
    loss = jax.jit(partial(model.apply, method="loss"))
    totals = [
        loss(
            variables,
            batch["images"],
            batch["sizes"],
            targets_of(batch),
            keys=jax.random.split(jax.random.key(seed)),
        )
        for seed in (0, 0, 1)
    ]
    for name in ("rpn_objectness", "class"):
        same, again, other = (terms[name].total for terms in totals)
        assert same == again != other


def test_half_precision_ends_at_losses_and_boxes(small):
    exact, variables, batch = small
    half = small_model("bfloat16", score_threshold=0.0)
    inputs = on_device(batch["images"], batch["sizes"])
    outputs = jax.eval_shape(half.apply, variables, *inputs)
    assert outputs.box.logits.dtype == "bfloat16"
    losses, gradients = our_losses_and_gradients(half, variables, batch)
    expected = jax.jit(partial(exact.apply, method="loss"))(
        variables,
        *on_device(*inputs, targets_of(batch)),
        keys=jax.random.split(jax.random.key(0)),
    )
    for name, value in losses.items():
        assert value.dtype == jnp.float32
        # A dozen layers of 8 bits each, and other proposals where scores are near.
        term = expected[name]
        np.testing.assert_allclose(value, term.total / term.count, rtol=0.05)
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
    found = jax.jit(partial(half.apply, method="detect"))(variables, *inputs)
    assert found.boxes.dtype == found.scores.dtype == jnp.float32
    assert np.isfinite(found.boxes).all() and found.valid.any()


def test_one_canvas_is_compiled_once_whatever_is_in_it(small):
    model, variables, batch = small
    detect = jax.jit(partial(model.apply, method="detect"))
    inputs = [
        (batch["images"], batch["sizes"]),
        (batch["images"] // 2, batch["sizes"] // 2),
    ]
    with count_compilations() as compiled:
        for images, sizes in inputs:
            detect(variables, images, sizes)
    assert len(compiled) == 1


def test_masks_and_keypoints_are_trained_on_positives_and_given_for_detections(small):
    _, _, batch = small
    model = small_model(score_threshold=0.0, max_detections=7).clone(
        mask_head=MaskHead(
            NUM_CLASSES, pool=RoIPool(size=14, levels=(4,)), num_convs=1, channels=8
        ),
        keypoint_head=KeypointHead(
            3, pool=RoIPool(size=14, levels=(4,)), num_convs=1, channels=8
        ),
    )
    inputs = on_device(batch["images"], batch["sizes"])
    variables = call_once(model.init, jax.random.key(0), *inputs)
    assert {"mask_head", "keypoint_head"} < variables["params"].keys()

    found = jax.jit(partial(model.apply, method="detect"))(variables, *inputs)
    assert found.masks.shape == (2, 7, 28, 28)
    assert found.keypoints.shape == (2, 7, 3, 2)
    assert found.keypoint_scores.shape == (2, 7, 3)
    x, y = np.moveaxis(found.keypoints, -1, 0)
    x1, y1, x2, y2 = np.moveaxis(found.boxes, -1, 0)[..., None]
    inside = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)
    assert inside[np.asarray(found.valid)].all() and found.valid.any()

    random = np.random.default_rng(0)
    targets = targets_of(batch).replace(
        masks=random.integers(0, 2, (2, 5, 20, 20), np.uint8),
        mask_regions=batch["boxes"],
        keypoints=np.concatenate(
            [random.uniform(0, 60, (2, 5, 3, 2)), np.full((2, 5, 3, 1), 2)], axis=-1
        ).astype(np.float32),
    )

    def loss(params):
        terms = model.apply(
            variables | {"params": params},
            *inputs,
            *on_device(targets),
            keys=jax.random.split(jax.random.key(0)),
            method="loss",
        )
        return sum(term.total for term in terms.values()), terms

    gradients, terms = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert terms.keys() > {"mask", "keypoint"}
    # Each of the six objects is a positive itself, and at most 8 of 32 samples are.
    assert 6 <= terms["mask"].count <= 16
    for name in ("mask_head", "keypoint_head"):
        leaves = jax.tree.leaves(gradients[name])
        assert all(np.isfinite(leaf).all() and leaf.any() for leaf in leaves)


def our_losses_and_gradients(model, variables, batch):
    def loss(params):
        terms = model.apply(
            variables | {"params": params},
            *on_device(batch["images"], batch["sizes"], targets_of(batch)),
            keys=jax.random.split(jax.random.key(0)),
            method="loss",
        )
        losses = {name: term.total / term.count for name, term in terms.items()}
        return sum(losses.values()), losses

    gradients, losses = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    return losses, gradients
