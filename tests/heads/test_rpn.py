"""The head alone: what its fields make of the anchors."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.rpn import RPNHead, RPNOutputs


@pytest.mark.parametrize(
    "rounded, corner",
    [
        # Of size 10 and ratio 1/4: 20 wide and 5 high.
        (True, (10, 2)),  # 2.5, half to even
        (False, (10, 2.5)),
    ],
)
def test_anchors_are_whole_pixels_where_asked(rounded, corner):
    head = RPNHead(
        anchor_sizes=((10,),), anchor_ratios=(0.25,), rounded_anchors=rounded
    )
    outputs = RPNOutputs({2: jnp.zeros((1, 1, 2, 1))}, {2: jnp.zeros((1, 1, 2, 4))})
    anchors = head.anchors(outputs, (4, 8))[2]
    x, y = corner
    np.testing.assert_array_equal(anchors, [[-x, -y, x, y], [4 - x, -y, 4 + x, y]])


@pytest.mark.parametrize("rule, stride", [("canvas", 5), ("level", 8)])
def test_the_stride_is_by_the_rule(rule, stride):
    # A canvas of 10 is halved three times to 5, 3 and 2.
    head = RPNHead(anchor_sizes=((4,),), anchor_ratios=(1.0,), stride_rule=rule)
    outputs = RPNOutputs({3: jnp.zeros((1, 2, 2, 1))}, {3: jnp.zeros((1, 2, 2, 4))})
    anchors = head.anchors(outputs, (10, 10))[3].reshape(2, 2, 4)
    assert tuple(anchors[1, 1] - anchors[0, 0]) == (stride,) * 4
