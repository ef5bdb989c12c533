"""YOLOX's detectors: sizes by table, and a small one beside a PyTorch twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.detectors.check import check_model
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.yolox import detector_from_yolox, yolox_rules
from fpn_jax.zoo.yolox import YOLOX, YOLOX_SIDES, yolox_s
from tests.support import yolox_twin
from tests.support.simota import CANVAS, CLASSES, targets, twin_loss

torch, _ = import_torchvision()

# Depth and width; entries of the state dict, convolutions, norms; parameters for 80
# classes. Published: 0.91, 5.06, 9.0, 25.3, 54.2 and 99.1 million.
SIZES = {
    "yolox_nano": (0.33, 0.25, 642, 113, 104, 912_159),
    "yolox_tiny": (0.33, 0.375, 462, 83, 74, 5_055_855),
    "yolox_s": (0.33, 0.5, 462, 83, 74, 8_968_255),
    "yolox_m": (0.67, 0.75, 606, 107, 98, 25_326_495),
    "yolox_l": (1.0, 1.0, 750, 131, 122, 54_208_895),
    "yolox_x": (1.33, 1.25, 894, 155, 146, 99_071_455),
}
NARROW = 0.125


def twin_of(name, num_classes=80, width=None, **options):
    depth, full_width, *_ = SIZES[name]
    depthwise = name == "yolox_nano"
    width = width or full_width
    return yolox_twin.YOLOX(num_classes, depth, width, depthwise, **options)


def test_every_released_detector_is_in_the_table():
    assert SIZES.keys() == YOLOX.keys() == YOLOX_SIDES.keys()


@pytest.mark.parametrize("name", SIZES)
def test_names_shapes_and_their_order_are_those_of_the_released_model(name):
    with torch.device("meta"):
        state_dict = twin_of(name).state_dict()
    depth, width, entries, convolutions, norms, parameters = SIZES[name]
    rules = yolox_rules(YOLOX[name]())
    assert [rule.theirs for rule in rules] == list(state_dict)
    kinds = [theirs.rpartition(".")[2] for theirs in state_dict]
    assert len(rules) == entries
    assert kinds.count("running_mean") == norms
    assert sum(len(tensor.shape) == 4 for tensor in state_dict.values()) == convolutions
    learnable = [
        tensor.numel()
        for kind, tensor in zip(kinds, state_dict.values(), strict=True)
        if kind in ("weight", "bias")
    ]
    assert sum(learnable) == parameters


@pytest.mark.parametrize("name, num_classes", [("yolox_nano", 80), ("yolox_tiny", 1)])
def test_our_parameters_are_those_of_the_table(name, num_classes):
    detector = YOLOX[name](num_classes)
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    variables = jax.eval_shape(detector.init, jax.random.key(0), images, sizes)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == {80: 912_159, 1: 5_032_866}[num_classes]


def narrow(name):
    detector = YOLOX[name](CLASSES)
    return detector.clone(backbone=detector.backbone.clone(width=NARROW))


def pixels(batch=2):
    """Random colors, two by one pixel; the last image fills a part of its canvas."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch, 64, 48, 3)).repeat(2, 2)
    sizes = np.array([CANVAS] * batch)
    sizes[-1] = 56, 90
    return jnp.asarray(images, jnp.uint8), jnp.asarray(sizes)


def letterboxed(images, sizes):
    """What the twin is given: BGR, 114 outside of the images."""
    images = np.array(images, np.float32)
    for image, (height, width) in zip(images, sizes, strict=True):
        image[height:] = image[:, width:] = 114
    return to_torch(images[..., ::-1])


def levels_of(outputs):
    return jax.tree.leaves((outputs.logits, outputs.deltas, outputs.objectness))


@pytest.fixture(scope="module", params=["yolox_nano", "yolox_s"])
def beside(request):
    """A detector with its twin: of depthwise convolutions, and of dense ones."""
    torch.manual_seed(0)
    twin = yolox_twin.lively(twin_of(request.param, CLASSES, NARROW))
    detector = narrow(request.param)
    variables = detector_from_yolox(numpy_state(twin), detector)
    return request.param, detector, variables, twin


def test_outputs_loss_and_gradients_equal_the_twins(beside):
    _, detector, variables, twin = beside
    images, sizes = pixels()
    truth = targets()

    @jax.jit
    def run(params):
        def loss(params):
            # Statistics of few pixels would magnify the rounding of float32.
            outputs = detector.apply(variables | {"params": params}, images, sizes)
            terms = detector.head.loss(outputs, sizes, truth, canvas=CANVAS).values()
            return sum(term.total / term.count for term in terms), outputs

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, outputs), gradients = run(variables["params"])
    theirs = twin.eval()(letterboxed(images, sizes))
    expected = twin_loss(theirs, truth)
    expected.backward()
    for ours, their in zip(levels_of(outputs), theirs, strict=True):
        their = to_nhwc(their)
        assert np.abs(ours - their).max() <= 1e-4 * np.abs(their).max()
    np.testing.assert_allclose(value, expected.detach(), rtol=1e-4)
    wanted = convert(
        {name: tensor.grad.numpy() for name, tensor in twin.named_parameters()},
        yolox_rules(detector),
        {"params": gradients},
    )
    for ours, their in zip(
        jax.tree.leaves(gradients), jax.tree.leaves(wanted["params"]), strict=True
    ):
        assert np.abs(ours - their).max() <= 1e-4 * np.abs(their).max()


def test_each_known_mistake_is_larger_than_the_tolerance(beside):
    name, detector, variables, twin = beside
    images, sizes = pixels()
    ours = jax.jit(detector.apply)(variables, images, sizes)

    def differences(twin):
        with torch.no_grad():
            theirs = twin.eval()(letterboxed(images, sizes))
        return max(
            np.abs(x - to_nhwc(their)).max() / np.abs(to_nhwc(their)).max()
            for x, their in zip(levels_of(ours), theirs, strict=True)
        )

    assert differences(twin) <= 1e-4
    for mistake in yolox_twin.MISTAKES:
        wrong = twin_of(name, CLASSES, NARROW, mistake=mistake)
        wrong.load_state_dict(twin.state_dict())
        assert differences(wrong) > 1e-3, mistake


def test_the_contract_allows_levels_of_different_channels_here_only():
    plain = yolox_s()
    check_model(plain, (64, 64))
    with pytest.raises(ValueError, match="model.neck: all levels must have the same"):
        check_model(plain.clone(head=FCOSHead(3)), (64, 64))
