"""The tower of a dense head on strips of its levels, against itself on whole ones."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.tower import tower
from fpn_jax.layers import Conv
from tests.support.tpu import traced_for_tpu


class Tower(nn.Module):
    norm: str | None

    @nn.compact
    def __call__(self, pyramid):
        def conv(name):
            return Conv(32, norm=self.norm, name=name)

        outputs = [Conv(5, name="boxes"), Conv(3, name="centers")]
        return tower(pyramid, conv, outputs, name="box", num_convs=2)


@pytest.mark.parametrize("norm", [None, "group"])
def test_strips_of_each_level_give_the_same(norm):
    generator = np.random.default_rng(0)
    pyramid = {
        level: jnp.asarray(generator.normal(size=(2, 4, width, 32)), jnp.float32)
        for level, width in ((3, 64), (4, 32), (5, 16))
    }
    module = Tower(norm)
    variables = module.init(jax.random.key(0), pyramid)
    program = jax.jit(traced_for_tpu(module.apply)).lower(variables, pyramid)
    text = program.as_text()
    assert "tensor<8x4x18x32xf32>" in text  # P3 and its neighbors' columns
    assert "tensor<8x4x10x32xf32>" in text  # P4
    # Each of the two is cut once, and its outputs are joined; P5 is too narrow.
    assert text.count("stablehlo.transpose") == 2 * (1 + 2)
    ours = program.compile()(variables, pyramid)
    theirs = module.apply(variables, pyramid)
    assert [maps[5].shape[-1] for maps in ours] == [5, 3]
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4), ours, theirs)
