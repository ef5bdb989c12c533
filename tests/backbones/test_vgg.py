"""VGG against torchvision, with and without batch norm; freezing; counts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.stages import frozen_mask, frozen_names
from fpn_jax.backbones.vgg import DEPTHS, VGG
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import randomize_norms
from fpn_jax.weights.torchvision import backbone_from_torchvision

torch, torchvision = import_torchvision()


def images(batch: int = 1) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=(batch, 64, 96, 3)).astype(np.float32)


def torch_vgg(depth: int, norm: str | None) -> torch.nn.Module:
    torch.manual_seed(0)
    name = f"vgg{depth}_bn" if norm else f"vgg{depth}"
    with torch.device("meta"):  # 100 million classifier weights need no values
        model = getattr(torchvision.models, name)(num_classes=2, init_weights=False)
    model.classifier = torch.nn.Identity()
    model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return randomize_norms(model)


def torch_pyramid(model: torch.nn.Module, x: torch.Tensor) -> dict:
    """Returns what enters the third, fourth and fifth pooling, and what leaves it."""
    entered = []
    for module in model.features:
        if isinstance(module, torch.nn.MaxPool2d):
            entered.append(x)
        x = module(x)
    return dict(zip((2, 3, 4, 5), (*entered[2:], x), strict=True))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("norm", [None, "frozen", "batch"])
def test_features_equal_torchvisions(depth, norm):
    model, vgg, x = torch_vgg(depth, norm), VGG(depth, norm=norm), images()
    ours = jax.jit(vgg.apply)(backbone_from_torchvision(numpy_state(model), vgg), x)
    with torch.no_grad():
        theirs = torch_pyramid(model, to_torch(x))
    assert ours.keys() == theirs.keys()
    for level, features in ours.items():
        expected = to_nhwc(theirs[level])
        assert features.shape == expected.shape
        assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()


def abstract_params(vgg: VGG) -> dict:
    x = jnp.zeros((1, 64, 64, 3))
    return jax.eval_shape(vgg.init, jax.random.key(0), x)["params"]


@pytest.mark.parametrize(
    "depth, plain, batch",
    [
        (11, 9_220_480, 9_225_984),
        (13, 9_404_992, 9_410_880),
        (16, 14_714_688, 14_723_136),
        (19, 20_024_384, 20_035_392),
    ],
)
def test_parameter_counts(depth, plain, batch):
    for norm, count in ((None, plain), ("frozen", plain), ("batch", batch)):
        params = abstract_params(VGG(depth, norm=norm))
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_parameter_paths_read_like_the_paper():
    params = abstract_params(VGG(16))
    assert {stage: sorted(convs) for stage, convs in params.items()} == {
        "stem": ["conv1_1", "conv1_2", "conv2_1", "conv2_2"],
        "stage2": ["conv3_1", "conv3_2", "conv3_3"],
        "stage3": ["conv4_1", "conv4_2", "conv4_3"],
        "stage4": ["conv5_1", "conv5_2", "conv5_3"],
    }


@pytest.mark.parametrize("norm", [None, "batch"])
def test_stages_above_the_last_level_are_not_built(norm):
    vgg = VGG(11, norm=norm, levels=(2, 3))
    variables = backbone_from_torchvision(numpy_state(torch_vgg(11, norm)), vgg)
    assert variables["params"].keys() == {"stem", "stage2", "stage3"}


@pytest.mark.parametrize("norm", [None, "batch"])
def test_recomputing_stages_changes_no_feature_and_no_gradient(norm):
    plain = VGG(11, norm=norm, levels=(2, 3))
    recomputing = plain.clone(remat=True)
    variables = backbone_from_torchvision(numpy_state(torch_vgg(11, norm)), plain)

    def step(vgg, params):
        def loss(params):
            features, updated = vgg.apply(
                variables | {"params": params},
                images(2),
                train=True,
                mutable="batch_stats",
            )
            return sum(jnp.sin(x).mean() for x in features.values()), (
                features,
                updated,
            )

        return jax.grad(loss, has_aux=True)(params)

    program = jax.make_jaxpr(partial(step, recomputing))(variables["params"])
    assert str(program).count("remat") == 3  # stem, stage2 and stage3
    ours = jax.jit(partial(step, recomputing))(variables["params"])
    theirs = jax.jit(partial(step, plain))(variables["params"])

    def check(path, a, b):
        # What is computed again may be fused, hence summed, in another order.
        difference = np.abs(a - b).max()
        assert difference <= 1e-3 * np.abs(b).max() + 1e-7, jax.tree_util.keystr(path)

    jax.tree_util.tree_map_with_path(check, ours, theirs)


@pytest.mark.parametrize("frozen_stages", [0, 1, 2])
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(frozen_stages):
    vgg = VGG(11, norm="batch", levels=(2, 3), frozen_stages=frozen_stages)
    variables = backbone_from_torchvision(numpy_state(torch_vgg(11, "batch")), vgg)

    @jax.jit
    def step(params):
        def loss(params):
            y, updated = vgg.apply(
                variables | {"params": params},
                images(2),
                train=True,
                mutable="batch_stats",
            )
            return jnp.sum(jnp.sin(y[3])), updated["batch_stats"]

        return jax.grad(loss, has_aux=True)(params)

    grads, statistics = step(variables["params"])
    frozen = frozen_mask(variables["params"], frozen_names(frozen_stages))
    for stage in ("stem", "stage2", "stage3"):
        still = all(jax.tree.leaves(frozen[stage]))
        # The bias before a norm has no gradient but rounding, so kernels are asked.
        moved = [bool(np.any(conv["kernel"])) for conv in grads[stage].values()]
        assert set(moved) == {not still}
        same = jax.tree.map(
            np.array_equal, statistics[stage], variables["batch_stats"][stage]
        )
        assert set(jax.tree.leaves(same)) == {still}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"depth": 15}, r"depth must be one of 11, 13, 16, 19, got 15"),
        ({"levels": (1,)}, r"levels must be .* got 1 \(nearest: 2\)"),
    ],
)
def test_wrong_fields_name_the_nearest(fields, message):
    with pytest.raises(ValueError, match=message):
        abstract_params(VGG(**fields))
