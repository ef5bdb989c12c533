"""ResNet against torchvision: features, gradients, training; freezing; counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.resnet import DEPTHS, ResNet
from fpn_jax.backbones.stages import frozen_mask, frozen_names
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.state_dicts import convert
from fpn_jax.weights.torchvision import backbone_from_torchvision, backbone_rules
from tests.support.slow import slow_but

torch, torchvision = import_torchvision()

STAGES = {2: "layer1", 3: "layer2", 4: "layer3", 5: "layer4"}


def images(batch: int = 1, height: int = 64, width: int = 96) -> np.ndarray:
    shape = (batch, height, width, 3)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def torch_resnet(depth: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return randomize_norms(getattr(torchvision.models, f"resnet{depth}")(num_classes=2))


def torch_pyramid(model: torch.nn.Module, x: torch.Tensor) -> dict:
    body = torchvision.models._utils.IntermediateLayerGetter(
        model, {name: level for level, name in STAGES.items()}
    )
    return body(x)


def assert_levels_close(ours: dict, theirs: dict, relative: float) -> None:
    """Asserts differences of at most `relative` of the largest value of a level."""
    assert ours.keys() == theirs.keys()
    for level, x in ours.items():
        expected = to_nhwc(theirs[level])
        assert x.shape == expected.shape
        assert np.abs(x - expected).max() <= relative * np.abs(expected).max(), level


QUICK = {18, 34, 50}  # the others have more of the same blocks


@pytest.mark.parametrize("depth", slow_but(QUICK, DEPTHS))
def test_features_equal_torchvisions(depth):
    model = torch_resnet(depth)
    resnet = ResNet(depth)
    x = images()
    ours = jax.jit(resnet.apply)(
        backbone_from_torchvision(numpy_state(model), resnet), x
    )
    with torch.no_grad():
        assert_levels_close(ours, torch_pyramid(model, to_torch(x)), 1e-4)


# torchvision's name: our fields
RELATIVES = {
    "resnext50_32x4d": {"depth": 50, "groups": 32, "width_per_group": 4},
    "resnext101_32x8d": {"depth": 101, "groups": 32, "width_per_group": 8},
    "resnext101_64x4d": {"depth": 101, "groups": 64, "width_per_group": 4},
    "wide_resnet50_2": {"depth": 50, "width_per_group": 128},
    "wide_resnet101_2": {"depth": 101, "width_per_group": 128},
}


@pytest.mark.parametrize(
    "name", slow_but({"resnext50_32x4d", "wide_resnet50_2"}, RELATIVES)
)
def test_features_of_its_relatives_equal_torchvisions(name):
    torch.manual_seed(0)
    model = randomize_norms(getattr(torchvision.models, name)(num_classes=2))
    resnet = ResNet(**RELATIVES[name])
    variables = backbone_from_torchvision(numpy_state(model), resnet)
    x = images()
    with torch.no_grad():
        theirs = torch_pyramid(model, to_torch(x))
    assert_levels_close(jax.jit(resnet.apply)(variables, x), theirs, 1e-4)


def test_groups_need_bottlenecks():
    with pytest.raises(ValueError, match="must be 1 and 64 at depth 34, got 32 and 4"):
        ResNet(34, groups=32, width_per_group=4).init(jax.random.key(0), images())


def test_features_equal_torchvisions_where_strides_leave_odd_sizes():
    model, resnet, x = torch_resnet(18), ResNet(18), images(2, 75, 101)
    ours = jax.jit(resnet.apply)(
        backbone_from_torchvision(numpy_state(model), resnet), x
    )
    with torch.no_grad():
        assert_levels_close(ours, torch_pyramid(model, to_torch(x)), 1e-4)


def sum_of_sines(pyramid: dict, library) -> "torch.Tensor | jax.Array":
    """Returns a scalar whose gradient differs from feature to feature."""
    return sum(library.sin(x).mean() for x in pyramid.values())


def their_gradients(model: torch.nn.Module, resnet: ResNet, params: dict) -> dict:
    """Returns the gradients that torch has accumulated, in our tree of parameters."""
    grads = {
        name: parameter.grad.numpy()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return convert(grads, backbone_rules(resnet), {"params": params})["params"]


def assert_gradients_close(ours: dict, theirs: dict, relative: float) -> None:
    """Asserts that every leaf differs by `relative` of its largest value at most."""

    def check(path, a, b):
        name = jax.tree_util.keystr(path)
        assert np.abs(a - b).max() <= relative * np.abs(b).max(), name

    jax.tree_util.tree_map_with_path(check, ours, theirs)


def training_gradients(resnet: ResNet, variables: dict, x: np.ndarray) -> tuple:
    """Returns gradients, new statistics and features of a step in training mode."""

    def loss(params):
        features, updated = resnet.apply(
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


def test_gradients_equal_torchs_with_running_statistics(float64):
    resnet = ResNet(18, norm="frozen", levels=(2, 3), dtype="float64")
    x = float64(images())
    model = torch_resnet(18).double()
    variables = float64(backbone_from_torchvision(numpy_state(model), resnet))

    @jax.jit
    def gradients(params):
        def loss(params):
            return sum_of_sines(resnet.apply(variables | {"params": params}, x), jnp)

        return jax.grad(loss)(params)

    freeze_affine(model)
    theirs = torch_pyramid(model, to_torch(x))
    sum_of_sines({level: theirs[level] for level in (2, 3)}, torch).backward()
    theirs = their_gradients(model, resnet, variables["params"])
    assert_gradients_close(gradients(variables["params"]), theirs, 1e-9)


def freeze_affine(model: torch.nn.Module) -> None:
    """Takes scale and bias of the norms out of training, as frozen norms have it."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)


def test_training_equals_torchs_with_batch_statistics(float64):
    resnet = ResNet(18, norm="batch", levels=(2, 3), dtype="float64")
    x = float64(images(2))
    model = torch_resnet(18).double()
    variables = float64(backbone_from_torchvision(numpy_state(model), resnet))
    grads, statistics, ours = training_gradients(resnet, variables, x)

    theirs = torch_pyramid(model.train(), to_torch(x))
    theirs = {level: theirs[level] for level in (2, 3)}
    sum_of_sines(theirs, torch).backward()
    assert_levels_close(ours, theirs, 1e-9)
    their_grads = their_gradients(model, resnet, variables["params"])
    assert_gradients_close(grads, their_grads, 1e-9)
    after = backbone_from_torchvision(numpy_state(model), resnet)["batch_stats"]
    # torch's variance is the unbiased one, n / (n - 1) larger, of which 0.1 enters the
    # running variance; n is 192 in stage 3.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        statistics,
        after,
    )


def num_parameters(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def abstract_params(resnet: ResNet) -> dict:
    x = jnp.zeros((1, 64, 64, 3))
    return jax.eval_shape(resnet.init, jax.random.key(0), x)["params"]


@pytest.mark.parametrize(
    "depth, frozen, batch",
    [
        (18, 11_166_912, 11_176_512),
        (34, 21_267_648, 21_284_672),
        (50, 23_454_912, 23_508_032),
        (101, 42_394_816, 42_500_160),
        (152, 57_992_384, 58_143_808),
    ],
)
def test_parameter_counts(depth, frozen, batch):
    assert num_parameters(abstract_params(ResNet(depth))) == frozen
    assert num_parameters(abstract_params(ResNet(depth, norm="batch"))) == batch


def test_parameter_paths_read_like_the_paper():
    params = abstract_params(ResNet(50))
    assert params.keys() == {"stem", "stage2", "stage3", "stage4", "stage5"}
    assert params["stem"]["conv"]["kernel"].shape == (7, 7, 3, 64)
    assert list(params["stage4"]) == [f"block{i}" for i in range(6)]
    assert params["stage2"]["block0"].keys() == {"conv1", "conv2", "conv3", "shortcut"}
    assert params["stage2"]["block1"].keys() == {"conv1", "conv2", "conv3"}


def test_stages_above_the_last_level_are_not_built():
    resnet = ResNet(50, levels=(4,))
    variables = backbone_from_torchvision(numpy_state(torch_resnet(50)), resnet)
    assert variables["params"].keys() == {"stem", "stage2", "stage3", "stage4"}
    pyramid = jax.eval_shape(resnet.apply, variables, images())
    assert {level: x.shape for level, x in pyramid.items()} == {4: (1, 4, 6, 1024)}


def test_the_stride_in_the_1x1_moves_from_conv2_to_conv1():
    x = images()
    plain = ResNet(50, levels=(2, 3))
    variables = backbone_from_torchvision(numpy_state(torch_resnet(50)), plain)
    model = torch_resnet(50)
    model.layer2[0].conv1.stride, model.layer2[0].conv2.stride = (2, 2), (1, 1)
    ours = jax.jit(plain.clone(stride_in_1x1=True).apply)(variables, x)
    with torch.no_grad():
        theirs = torch_pyramid(model, to_torch(x))
    assert_levels_close(ours, {level: theirs[level] for level in (2, 3)}, 1e-4)


def test_recomputing_blocks_changes_no_gradient():
    plain = ResNet(18, norm="batch", levels=(2, 3))
    variables = backbone_from_torchvision(numpy_state(torch_resnet(18)), plain)
    recomputing = plain.clone(remat=True)
    assert "remat" in str(jax.make_jaxpr(recomputing.apply)(variables, images(2)))
    ours, _, _ = training_gradients(recomputing, variables, images(2))
    theirs, _, _ = training_gradients(plain, variables, images(2))
    # What is computed again may be fused, hence summed, in another order.
    assert_gradients_close(ours, theirs, 1e-3)


@pytest.mark.parametrize("frozen_stages", [0, 1, 3])
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(frozen_stages):
    resnet = ResNet(18, norm="batch", levels=(4,), frozen_stages=frozen_stages)
    variables = backbone_from_torchvision(numpy_state(torch_resnet(18)), resnet)
    grads, statistics, _ = training_gradients(resnet, variables, images())
    frozen = frozen_mask(variables["params"], frozen_names(frozen_stages))
    still = jax.tree.map(lambda g: not np.any(g), grads)
    assert still == frozen
    kept = {
        stage: jax.tree.map(np.array_equal, leaves, variables["batch_stats"][stage])
        for stage, leaves in statistics.items()
    }
    for stage, same in kept.items():
        expected = all(jax.tree.leaves(frozen[stage]))
        assert set(jax.tree.leaves(same)) == {expected}, stage


def test_the_usual_freezing_of_resnet_50_leaves_the_known_count():
    params = abstract_params(ResNet(50))
    frozen = frozen_mask(params, frozen_names(2))
    sizes = jax.tree.map(lambda leaf, still: leaf.size * still, params, frozen)
    assert sum(jax.tree.leaves(sizes)) == 222_400  # torchvision: stem and layer1


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"depth": 51}, r"depth must be one of .* got 51 \(nearest: 50\)"),
        ({"norm": "batches"}, r"norm must be .* got 'batches' \(nearest: 'batch'\)"),
        ({"levels": (2, 7)}, r"levels must be .* got 7 \(nearest: 5\)"),
        ({"levels": ()}, "levels must be one of 2, 3, 4, 5, got None"),
        ({"frozen_stages": 6}, r"frozen_stages .* got 6 \(nearest: 5\)"),
    ],
)
def test_wrong_fields_name_the_nearest(fields, message):
    with pytest.raises(ValueError, match=message):
        abstract_params(ResNet(**fields))
