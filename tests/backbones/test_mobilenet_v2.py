"""MobileNetV2 against torchvision: features, gradients; freezing; counts; necks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
from fpn_jax.backbones.stages import frozen_mask, frozen_names
from fpn_jax.necks import FPN, PAFPN, BiFPN
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.state_dicts import convert, load_state_dict
from fpn_jax.weights.torchvision import backbone_from_torchvision
from fpn_jax.weights.torchvision_backbones import backbone_rules
from tests.support.real import real

torch, torchvision = import_torchvision()

ALL = (2, 3, 4, 5, 6)
# The layers at which torchvision's extractor takes the levels: those of stride 2 behind
# the stem, and the last.
LAYERS = {2: "2", 3: "4", 4: "7", 5: "14", 6: "18"}


def images(batch: int = 1, height: int = 64, width: int = 96) -> np.ndarray:
    shape = (batch, height, width, 3)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def torch_mobilenet(width: float = 1.0, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    build = torchvision.models.mobilenet_v2
    return randomize_norms(build(num_classes=2, width_mult=width, **options))


def torch_pyramid(model: torch.nn.Module, x: torch.Tensor) -> dict:
    names = {layer: level for level, layer in LAYERS.items()}
    getter = torchvision.models._utils.IntermediateLayerGetter
    return getter(model.features, names)(x)


def assert_levels_close(ours: dict, theirs: dict, relative: float) -> None:
    """Asserts differences of at most `relative` of the largest value of a level."""
    assert tuple(ours) == ALL
    for level, x in ours.items():
        expected = to_nhwc(theirs[level])
        assert x.shape == expected.shape
        assert np.abs(x - expected).max() <= relative * np.abs(expected).max(), level


@pytest.mark.parametrize("width, shape", [(1.0, (64, 96)), (0.35, (75, 101))])
def test_features_of_all_levels_equal_torchvisions(width, shape):
    model, backbone = torch_mobilenet(width), MobileNetV2(width, levels=ALL)
    variables = backbone_from_torchvision(numpy_state(model), backbone)
    x = images(2, *shape)
    with torch.no_grad():
        theirs = torch_pyramid(model.eval(), to_torch(x))
    assert_levels_close(jax.jit(backbone.apply)(variables, x), theirs, 1e-4)


@pytest.mark.real
def test_features_of_the_published_weights_equal_torchvisions():
    file = real("mobilenet_v2-b0353104.pth")
    model = torchvision.models.mobilenet_v2()
    model.load_state_dict(torch.load(file, weights_only=True))
    backbone = MobileNetV2(levels=ALL)
    variables = backbone_from_torchvision(load_state_dict(file), backbone)
    x = images(1, 224, 320)
    with torch.no_grad():
        theirs = torch_pyramid(model.eval(), to_torch(x))
    assert_levels_close(jax.jit(backbone.apply)(variables, x), theirs, 1e-4)


def sum_of_sines(pyramid: dict, library) -> "torch.Tensor | jax.Array":
    """Returns a scalar whose gradient differs from feature to feature."""
    return sum(library.sin(x).mean() for x in pyramid.values())


def test_gradients_equal_torchvisions():
    """In double precision: in float32 a unit of ReLU6 may change its side."""
    model, backbone = torch_mobilenet(0.35), MobileNetV2(0.35, levels=ALL)
    variables = backbone_from_torchvision(numpy_state(model), backbone)
    backbone = backbone.clone(dtype="float64")
    with jax.enable_x64():
        variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)
        x = images().astype(np.float64)

        def loss(params):
            return sum_of_sines(backbone.apply(variables | {"params": params}, x), jnp)

        grads = jax.jit(jax.grad(loss))(variables["params"])
        sum_of_sines(
            torch_pyramid(model.double().eval(), to_torch(x)), torch
        ).backward()
    theirs = {
        name: parameter.grad.numpy()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.ndim == 4
    }
    expected = convert(
        theirs,
        [rule for rule in backbone_rules(backbone) if rule.ours is not None],
        {"params": variables["params"]},
    )["params"]

    def check(path, ours, theirs):
        name = jax.tree_util.keystr(path)
        assert np.abs(ours - theirs).max() <= 1e-9 * np.abs(theirs).max(), name

    jax.tree_util.tree_map_with_path(check, grads, expected)


def abstract_params(backbone: MobileNetV2) -> dict:
    x = jnp.zeros((1, 64, 64, 3))
    return jax.eval_shape(backbone.init, jax.random.key(0), x)["params"]


@pytest.mark.parametrize("norm, count", [("frozen", 2_189_760), ("batch", 2_223_872)])
def test_parameters_are_those_of_the_paper_without_the_classifier(norm, count):
    # 3,504,872 with the classifier's 1280 x 1000 + 1000; 34,112 are of the norms.
    params = abstract_params(MobileNetV2(norm=norm, levels=(5, 6)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_what_the_last_level_does_not_need_is_not_built():
    params = abstract_params(MobileNetV2(levels=(3, 4)))
    assert params.keys() == {"stem", "stage2", "stage3", "stage4"}
    assert params["stem"].keys() == {"conv", "block0"}
    assert params["stem"]["block0"].keys() == {"depthwise", "project"}
    assert params["stage4"].keys() == {"block0"}


def test_three_frozen_stages_are_what_torchvision_freezes_by_default():
    detector = torchvision.models.detection.backbone_utils._mobilenet_extractor(
        torchvision.models.mobilenet_v2(norm_layer=torchvision.ops.FrozenBatchNorm2d),
        fpn=True,
        trainable_layers=3,
    )
    body = detector.body.parameters()
    expected = sum(p.numel() for p in body if not p.requires_grad)
    params = abstract_params(MobileNetV2(levels=(5, 6)))
    frozen = frozen_mask(params, frozen_names(3))
    sizes = jax.tree.map(lambda leaf, still: leaf.size * still, params, frozen)
    assert sum(jax.tree.leaves(sizes)) == expected


@pytest.mark.parametrize("neck", [FPN(32), PAFPN(32), BiFPN(32)])
def test_every_neck_takes_its_levels(neck):
    backbone = MobileNetV2(0.35)
    pyramid = jax.eval_shape(
        lambda x: backbone.init_with_output(jax.random.key(0), x)[0],
        jnp.zeros((1, 64, 64, 3)),
    )
    features = jax.eval_shape(
        lambda x: neck.init_with_output(jax.random.key(0), x)[0], pyramid
    )
    assert {2, 3, 4, 5} <= features.keys()
    assert all(x.shape[-1] == 32 for x in features.values())
