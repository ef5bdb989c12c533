"""CSPDarknet by hand; beside a PyTorch twin it is in `tests/zoo/test_yolox.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.backbones.csp_darknet import CSPDarknet, focus
from fpn_jax.layers import convolve

SMALL = CSPDarknet(depth=0.33, width=0.0625)


def test_focus_goes_through_the_squares_column_by_column():
    image = jnp.arange(8.0).reshape(1, 2, 4, 1)  # 0 1 2 3 above 4 5 6 7
    assert focus(image).tolist() == [[[[0, 4, 1, 5], [2, 6, 3, 7]]]]
    channels = jnp.stack([image[..., 0], 10 + image[..., 0]], axis=-1)
    assert focus(channels)[0, 0, 0].tolist() == [0, 10, 4, 14, 1, 11, 5, 15]


def shapes(backbone, side=64):
    images = jnp.zeros((1, side, side, 3))
    return jax.eval_shape(backbone.init_with_output, jax.random.key(0), images)


@pytest.mark.parametrize("stem_form", ["focus", "conv"])
def test_levels_have_their_strides_and_channels(stem_form):
    backbone = SMALL.clone(stem_form=stem_form, levels=(2, 3, 4, 5))
    pyramid, _ = shapes(backbone)
    assert {level: x.shape for level, x in pyramid.items()} == {
        2: (1, 16, 16, 8),
        3: (1, 8, 8, 16),
        4: (1, 4, 4, 32),
        5: (1, 2, 2, 64),
    }


@pytest.mark.parametrize(
    "depth, expected", [(0.33, [1, 3, 3, 1]), (0.67, [2, 6, 6, 2]), (0.1, [1, 3, 3, 1])]
)
def test_the_depth_multiplies_the_bottlenecks(depth, expected):
    backbone = SMALL.clone(depth=depth)
    _, variables = shapes(backbone)
    found = [
        sum(name.startswith("block") for name in variables["params"][stage]["csp"])
        for stage in ("stage2", "stage3", "stage4", "stage5")
    ]
    assert found == expected == [backbone.repeats(stage) for stage in (2, 3, 4, 5)]


def test_what_the_last_level_does_not_need_is_not_built():
    _, variables = shapes(SMALL.clone(levels=(2, 3)))
    assert variables["params"].keys() == {"stem", "stage2", "stage3"}


def test_frozen_stages_get_no_gradient_and_keep_their_statistics():
    backbone = SMALL.clone(levels=(2, 3), frozen_stages=2)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)))
    images = images.astype(jnp.float32)
    variables = backbone.init(jax.random.key(0), images)

    @jax.jit
    def run(params):
        def loss(params):
            pyramid, updated = backbone.apply(
                variables | {"params": params},
                images,
                train=True,
                mutable="batch_stats",
            )
            return sum(jnp.sin(x).sum() for x in pyramid.values()), updated

        return jax.grad(loss, has_aux=True)(params)

    grads, updated = run(variables["params"])
    before, after = variables["batch_stats"], updated["batch_stats"]
    assert backbone.frozen == ("stem", "stage2")
    for stage in ("stem", "stage2", "stage3"):
        frozen = stage in backbone.frozen
        moved = [np.any(g != 0) for g in jax.tree.leaves(grads[stage])]
        assert not any(moved) if frozen else all(moved)
        same = jax.tree.map(np.array_equal, before[stage], after[stage])
        assert all(jax.tree.leaves(same)) == frozen


def test_running_statistics_follow_a_batch_by_3_percent():
    backbone = SMALL.clone(levels=(2,))
    images = jnp.full((1, 8, 8, 3), 2.0)
    variables = backbone.init(jax.random.key(0), images)
    _, updated = backbone.apply(variables, images, train=True, mutable="batch_stats")
    kernel = variables["params"]["stem"]["conv"]["kernel"]
    mean = updated["batch_stats"]["stem"]["conv"]["norm"]["mean"]
    expected = 0.03 * convolve(focus(images), kernel).mean((0, 1, 2))
    np.testing.assert_allclose(mean, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"stem_form": "focal"}, "stem_form must be one of 'focus', 'conv', got 'foc"),
        ({"levels": (6,)}, "levels must be one of 2, 3, 4, 5, got 6"),
        ({"frozen_stages": 7}, "frozen_stages must be one of .*, got 7"),
    ],
)
def test_wrong_fields_name_the_nearest(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes(SMALL.clone(**fields))
