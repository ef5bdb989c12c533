"""All heads on boxes pool from the level that their canonical size says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead

BOXES = jnp.array([[[4, 4, 60, 60], [0, 0, 64, 57]]], jnp.float32)  # 56 px and more
HEADS = [
    BoxHead(3, hidden_features=8),
    MaskHead(3, num_convs=1, channels=8),
    KeypointHead(3, num_convs=1, channels=8),
]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("canonical_size, level", [(224, 2), (56, 4), (28, 5)])
def test_boxes_are_pooled_from_the_level_of_their_size(head, canonical_size, level):
    random = np.random.default_rng(0)
    pyramid = {
        level: jnp.float32(random.normal(size=(1, 64 >> level, 64 >> level, 4)))
        for level in (2, 3, 4, 5)
    }
    canvas = (64, 64)
    variables = head.init(jax.random.key(0), pyramid, BOXES, canvas=canvas)

    def outputs(head):
        return jax.tree.leaves(head.apply(variables, pyramid, BOXES, canvas=canvas))

    def with_pool(**changes):
        return head.clone(pool=dataclasses.replace(head.pool, **changes))

    ours = outputs(with_pool(canonical_size=canonical_size))
    alone = outputs(with_pool(levels=(level,)))
    for left, right in zip(ours, alone, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)
    others = outputs(with_pool(levels=({2: 3, 4: 5, 5: 4}[level],)))
    assert any((a != b).any() for a, b in zip(ours, others, strict=True))
