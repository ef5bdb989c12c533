"""The teaching backbone: its shapes, its size, its parameters."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.backbones.dummy import Dummy


def test_224_pixels_become_56_28_14_and_7():
    images = jnp.zeros((2, 224, 224, 3))
    pyramid, variables = jax.eval_shape(
        Dummy().init_with_output, jax.random.key(0), images
    )
    assert {level: x.shape for level, x in pyramid.items()} == {
        2: (2, 56, 56, 8),
        3: (2, 28, 28, 16),
        4: (2, 14, 14, 32),
        5: (2, 7, 7, 64),
    }
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    # 3x3 kernels and biases: stem 3 -> 8, then two in each stage.
    convs = [(3, 8), (8, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]
    convs += [(32, 64), (64, 64)]
    assert count == sum(9 * i * o + o for i, o in convs) == 74_192


def test_a_stage_adds_a_residual():
    images = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    dummy = Dummy(levels=(2,))
    variables = dummy.init(jax.random.key(0), images)
    residual = variables["params"]["stage2"]["residual"]
    variables["params"]["stage2"]["residual"] = jax.tree.map(jnp.zeros_like, residual)
    without = dummy.apply(variables, images)[2]
    assert without.max() > 0.1  # the shortcut still carries the features


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"levels must be .* got 6 \(nearest: 5\)"):
        Dummy(levels=(6,)).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
