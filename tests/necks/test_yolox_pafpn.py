"""The neck of YOLOX by shapes; beside a twin it is in `tests/zoo/test_yolox.py`."""

import jax
import jax.numpy as jnp
import pytest

from fpn_jax.necks.yolox_pafpn import YOLOXPAFPN


def shapes(pyramid, **fields):
    neck = YOLOXPAFPN(depth=0.33, **fields)
    return jax.eval_shape(neck.init_with_output, jax.random.key(0), pyramid)


def test_each_level_keeps_its_size_and_its_channels():
    pyramid = {
        5: jnp.zeros((1, 3, 2, 32)),  # of the last, half of P4 is rounded up
        3: jnp.zeros((1, 10, 8, 8)),
        4: jnp.zeros((1, 5, 4, 16)),
    }
    outputs, variables = shapes(pyramid)
    assert list(outputs) == [3, 4, 5]
    assert all(outputs[level].shape == x.shape for level, x in pyramid.items())
    assert variables["params"].keys() == {
        *("lateral5", "top_down4", "lateral4", "top_down3"),
        *("down4", "bottom_up4", "down5", "bottom_up5"),
    }


def test_bottlenecks_have_a_depthwise_convolution_where_asked():
    pyramid = {4: jnp.zeros((1, 4, 4, 8)), 5: jnp.zeros((1, 2, 2, 16))}
    _, variables = shapes(pyramid, depthwise=True)
    block = variables["params"]["top_down4"]["block0"]
    assert block["conv2"]["depthwise"]["kernel"].shape == (3, 3, 1, 4)
    assert block["conv2"]["pointwise"]["kernel"].shape == (1, 1, 4, 4)


def test_levels_with_a_gap_are_refused():
    pyramid = {3: jnp.zeros((1, 8, 8, 8)), 5: jnp.zeros((1, 2, 2, 16))}
    with pytest.raises(ValueError, match=r"must follow each other, got \[3, 5\]"):
        shapes(pyramid)
