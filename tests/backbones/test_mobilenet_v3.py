"""MobileNetV3 against torchvision: features, gradients, training; freezing; counts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.inverted_residuals import scaled
from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.stages import frozen_mask, frozen_names
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.state_dicts import Rule, convert
from fpn_jax.weights.torchvision_mobilenets import mobilenet_v3_rules

torch, torchvision = import_torchvision()

ALL = (2, 3, 4, 5, 6)
# The layers at which torchvision's extractor takes the levels: those of stride 2 behind
# the stem, and the last.
LAYERS = {
    "large": {2: "2", 3: "4", 4: "7", 5: "13", 6: "16"},
    "small": {2: "1", 3: "2", 4: "4", 5: "9", 6: "12"},
}


def images(batch: int = 1, height: int = 64, width: int = 96) -> np.ndarray:
    shape = (batch, height, width, 3)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def torch_mobilenet(size: str, width: float = 1.0) -> torch.nn.Module:
    """Returns torchvision's network with the norm of its detectors (epsilon 1e-5)."""
    torch.manual_seed(0)
    build = getattr(torchvision.models, f"mobilenet_v3_{size}")
    norm = partial(torch.nn.BatchNorm2d, eps=1e-5)
    return randomize_norms(build(num_classes=2, width_mult=width, norm_layer=norm))


def torch_pyramid(model: torch.nn.Module, x: torch.Tensor, size: str) -> dict:
    names = {layer: level for level, layer in LAYERS[size].items()}
    getter = torchvision.models._utils.IntermediateLayerGetter
    return getter(model.features, names)(x)


def rules(backbone: MobileNetV3) -> list[Rule]:
    table = mobilenet_v3_rules(backbone, prefix="features.")
    return [*table, Rule("classifier.*", None)]


def load(model: torch.nn.Module, backbone: MobileNetV3) -> dict:
    x = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(backbone.init, jax.random.key(0), x)
    return convert(numpy_state(model), rules(backbone), variables)


def assert_levels_close(ours: dict, theirs: dict, relative: float) -> None:
    """Asserts differences of at most `relative` of the largest value of a level."""
    for level, x in ours.items():
        expected = to_nhwc(theirs[level])
        assert x.shape == expected.shape
        assert np.abs(x - expected).max() <= relative * np.abs(expected).max(), level


@pytest.mark.parametrize(
    "size, width", [("large", 1.0), ("small", 1.0), ("large", 0.3)]
)
def test_features_of_all_levels_equal_torchvisions(size, width):
    model = torch_mobilenet(size, width)
    backbone = MobileNetV3(size, width, levels=ALL)
    ours = jax.jit(backbone.apply)(load(model, backbone), images())
    assert tuple(ours) == ALL
    with torch.no_grad():
        theirs = torch_pyramid(model, to_torch(images()), size)
    assert_levels_close(ours, theirs, 1e-4)


def test_features_equal_torchvisions_where_strides_leave_odd_sizes():
    model, backbone = torch_mobilenet("small"), MobileNetV3("small", levels=ALL)
    x = images(2, 75, 101)
    ours = jax.jit(backbone.apply)(load(model, backbone), x)
    with torch.no_grad():
        assert_levels_close(ours, torch_pyramid(model, to_torch(x), "small"), 1e-4)


def sum_of_sines(pyramid: dict, library) -> "torch.Tensor | jax.Array":
    """Returns a scalar whose gradient differs from feature to feature."""
    return sum(library.sin(x).mean() for x in pyramid.values())


def training_gradients(backbone: MobileNetV3, variables: dict, x) -> tuple:
    """Returns gradients, new statistics and features of a step in training mode."""

    def loss(params):
        features, updated = backbone.apply(
            variables | {"params": params}, x, train=True, mutable="batch_stats"
        )
        return sum_of_sines(features, jnp), (updated["batch_stats"], features)

    grads, aux = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    return grads, *aux


@pytest.fixture
def float64():
    """Double precision: in float32, units of relu change sides and gradients jump."""
    jax.config.update("jax_enable_x64", True)
    yield lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
    jax.config.update("jax_enable_x64", False)


def assert_gradients_close(ours: dict, theirs: dict, relative: float) -> None:
    """Asserts that every leaf differs by `relative` of its largest value at most.

    Less than 1e-15 is zero: the norm of the next block removes what the bias of a
    linear 1x1 adds, and leaves rounding for its gradient.
    """

    def check(path, a, b):
        name = jax.tree_util.keystr(path)
        assert np.abs(a - b).max() <= relative * np.abs(b).max() + 1e-15, name

    jax.tree_util.tree_map_with_path(check, ours, theirs)


def test_training_equals_torchs_with_batch_statistics(float64):
    backbone = MobileNetV3("small", 0.5, norm="batch", levels=(4, 5), dtype="float64")
    model = torch_mobilenet("small", 0.5).double()
    x = float64(images(2))
    variables = float64(load(model, backbone))
    grads, statistics, ours = training_gradients(backbone, variables, x)

    theirs = torch_pyramid(model.train(), to_torch(x), "small")
    theirs = {level: theirs[level] for level in (4, 5)}
    sum_of_sines(theirs, torch).backward()
    assert_levels_close(ours, theirs, 1e-9)
    their_grads = {
        name: parameter.grad.numpy()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    expected = convert(their_grads, rules(backbone), {"params": variables["params"]})
    # torch has the sixth of hard-sigmoid's gradient in float32, whatever the type:
    # 3e-8 off, everything else agrees to 1e-14.
    assert_gradients_close(grads, expected["params"], 1e-7)
    # torch's variance is the unbiased one, n / (n - 1) larger, of which 0.1 enters the
    # running variance; n is 12 at the stride of 32.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-6),
        statistics,
        load(model, backbone)["batch_stats"],
    )


def abstract_params(backbone: MobileNetV3) -> dict:
    x = jnp.zeros((1, 64, 64, 3))
    return jax.eval_shape(backbone.init, jax.random.key(0), x)["params"]


def num_parameters(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "size, norm, count",
    [
        ("large", "frozen", 2_947_552),
        ("large", "batch", 2_971_952),
        ("small", "frozen", 914_896),
        ("small", "batch", 927_008),
    ],
)
def test_parameter_counts_of_the_body_of_a_detector(size, norm, count):
    backbone = MobileNetV3(size, norm=norm, levels=(5, 6))
    assert num_parameters(abstract_params(backbone)) == count


def test_parameter_paths_read_like_the_paper():
    params = abstract_params(MobileNetV3(levels=(5, 6)))
    assert params.keys() == {"stem", *(f"stage{i}" for i in range(2, 7))}
    assert params["stem"].keys() == {"conv", "block0"}
    assert list(params["stage4"]) == [f"block{i}" for i in range(6)]
    depthwise = params["stage5"]["block1"]["depthwise"]["kernel"]
    assert depthwise.shape == (5, 5, 1, 960)
    assert params["stage5"]["block1"].keys() == {
        "expand",
        "depthwise",
        "squeeze",
        "excite",
        "project",
    }
    assert params["stem"]["block0"].keys() == {"depthwise", "project"}


def test_what_the_last_level_does_not_need_is_not_built():
    params = abstract_params(MobileNetV3(levels=(3, 4)))
    assert params.keys() == {"stem", "stage2", "stage3", "stage4"}
    assert params["stage3"].keys() == {"block0", "block1", "block2"}
    assert params["stage4"].keys() == {"block0"}


@pytest.mark.parametrize(
    "channels, width, expected",
    [
        (16, 1.0, 16),
        (24, 0.5, 16),  # 12 lies half way and goes up
        (40, 0.3, 16),  # 12 again
        (16, 0.35, 8),  # 5.6, and 8 is the least
        (72, 0.35, 24),  # 25.2
        (184, 0.1, 24),  # 18.4: 16 would be under 90 % of it
    ],
)
def test_channels_are_multiples_of_8_near_their_share(channels, width, expected):
    assert scaled(channels, width) == expected


@pytest.mark.parametrize("frozen_stages", [3, 6])
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(frozen_stages):
    backbone = MobileNetV3(
        "small", 0.3, norm="batch", levels=(5, 6), frozen_stages=frozen_stages
    )
    variables = load(torch_mobilenet("small", 0.3), backbone)
    grads, statistics, _ = training_gradients(backbone, variables, images(2))
    frozen = frozen_mask(variables["params"], frozen_names(frozen_stages))
    assert jax.tree.map(lambda g: not np.any(g), grads) == frozen
    kept = jax.tree.map(np.array_equal, statistics, variables["batch_stats"])
    for stage, same in kept.items():
        expected = all(jax.tree.leaves(frozen[stage]))
        assert set(jax.tree.leaves(same)) == {expected}, stage


def test_three_frozen_stages_are_what_torchvision_freezes_by_default():
    detector = torchvision.models.detection.backbone_utils._mobilenet_extractor(
        torchvision.models.mobilenet_v3_large(
            norm_layer=torchvision.ops.FrozenBatchNorm2d
        ),
        fpn=True,
        trainable_layers=3,
    )
    body = detector.body.parameters()
    expected = sum(p.numel() for p in body if not p.requires_grad)
    params = abstract_params(MobileNetV3(levels=(5, 6)))
    frozen = frozen_mask(params, frozen_names(3))
    sizes = jax.tree.map(lambda leaf, still: leaf.size * still, params, frozen)
    assert sum(jax.tree.leaves(sizes)) == expected == 58_896


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"size": "larger"}, r"size must be .* got 'larger' \(nearest: 'large'\)"),
        ({"levels": (5, 7)}, r"levels must be .* got 7 \(nearest: 6\)"),
        ({"frozen_stages": 7}, r"frozen_stages .* got 7 \(nearest: 6\)"),
    ],
)
def test_wrong_fields_name_the_nearest(fields, message):
    with pytest.raises(ValueError, match=message):
        abstract_params(MobileNetV3(**fields))
