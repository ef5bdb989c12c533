"""FPN for a TPU, on strips of its levels, against itself on whole ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from tests.support.tpu import traced_for_tpu


def pyramid_of(width):
    """Returns C3 … C5 of two images; with 128 columns C5 is too narrow for strips."""
    generator = np.random.default_rng(0)
    return {
        level: jnp.asarray(
            generator.normal(size=(2, 32 >> level, width >> (level - 3), 8)),
            jnp.float32,
        )
        for level in (3, 4, 5)
    }


def assert_same(module, pyramid, widths):
    """Returns how often something is cut or joined."""
    variables = module.init(jax.random.key(0), pyramid)
    program = jax.jit(traced_for_tpu(module.apply)).lower(variables, pyramid)
    for width in widths:  # with the neighbors' columns
        assert f"x{width + 2}x32xf32>" in program.as_text()
    ours, theirs = (
        program.compile()(variables, pyramid),
        module.apply(variables, pyramid),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)
    return program.as_text().count("stablehlo.transpose")


@pytest.mark.parametrize("width, widths", [(128, (32, 16)), (72, (18,))])
def test_merged_strips_give_the_same(width, widths):
    # A norm is no reason to join levels and to cut them again.
    plain, normed = (
        assert_same(FPN(32, norm=norm), pyramid_of(width), widths)
        for norm in (None, "group")
    )
    assert plain == normed > 0


def test_levels_that_do_not_double_are_joined_before():
    pyramid = pyramid_of(128)
    pyramid[4] = pyramid[4][:, :, :60]  # four strips of 15 under four of 32
    assert_same(FPN(32), pyramid, (32, 15))


def test_proposals_of_strips_are_the_same():
    generator = np.random.default_rng(0)
    pyramid = {
        level: jnp.asarray(generator.normal(size=(2, 4, width, 32)), jnp.float32)
        for level, width in ((2, 64), (3, 32), (4, 16))
    }
    head = RPNHead(num_convs=2, anchor_sizes=((8,), (16,), (32,)))
    assert_same(head, pyramid, (16, 8))
