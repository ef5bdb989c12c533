"""The weighted bi-directional pyramid (EfficientDet: Tan et al. 2020, section 3)."""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.pooling import max_pool
from fpn_jax.ops.upsampling import upsample_to
from fpn_jax.types import Pyramid

_EPSILON = 1e-4  # of the fast normalized fusion (section 3.3)


class BiFPN(nn.Module):
    """Layers that each go down and up the pyramid and add levels with weights.

    A 1x1 convolution (`lateral`) brings each level to the same channels. The
    `num_extra` levels above the top one are max-pooled (3x3, stride 2) from it.
    """

    channels: int = 256  # Channels of every level.
    repeats: int = 3  # Number of layers, each with a path down and a path up.
    # Levels above the top one: 1 for a proposal head, 2 for a dense head.
    num_extra: int = 1
    norm: Norm = "batch"  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, channels]}, finest first."""
        levels = sorted(pyramid)
        if levels != list(range(levels[0], levels[-1] + 1)):
            raise ValueError(f"levels of a BiFPN must follow each other, got {levels}")
        conv = partial(normed_conv(self, train=train), self.channels)
        outputs = {
            level: conv(kernel_size=1, name=f"lateral{level}")(pyramid[level])
            for level in levels
        }
        for level in range(levels[-1] + 1, levels[-1] + 1 + self.num_extra):
            outputs[level] = max_pool(outputs[level - 1], window=3, padding=1)
        for i in range(self.repeats):
            outputs = Layer(conv, name=f"layer{i}")(outputs)
        return outputs


class Layer(nn.Module):
    """One top-down and one bottom-up path (figure 2 d)."""

    conv: Callable[..., Conv]

    @nn.compact
    def __call__(self, pyramid: Pyramid) -> Pyramid:
        """Returns the pyramid after both paths, finest level first."""
        bottom, *_, top = sorted(pyramid)
        middle = {top: pyramid[top]}
        for level in range(top - 1, bottom - 1, -1):
            x = pyramid[level]
            above = upsample_to(middle[level + 1], *x.shape[1:3])
            middle[level] = Fusion(self.conv, name=f"down{level}")([x, above])
        outputs = {bottom: middle[bottom]}
        for level in range(bottom + 1, top + 1):
            below = max_pool(outputs[level - 1], window=3, padding=1)
            # The node of the top has no other input than the pyramid's own.
            own = [pyramid[level], middle[level]] if level < top else [pyramid[level]]
            outputs[level] = Fusion(self.conv, name=f"up{level}")([*own, below])
        return outputs


class Fusion(nn.Module):
    """A weighted mean of maps, then a depthwise-separable convolution and a swish.

    The weights are kept positive by a ReLU and divided by their sum (section 3.3).
    """

    conv: Callable[..., Conv]

    @nn.compact
    def __call__(self, inputs: Sequence[jax.Array]) -> jax.Array:
        """Returns a map [B, H, W, C] of inputs of the same shape."""
        ones = nn.initializers.ones
        weights = self.param("weights", ones, (len(inputs),), jnp.float32)
        weights = nn.relu(weights)
        weights = (weights / (weights.sum() + _EPSILON)).astype(inputs[0].dtype)
        x = reduce(add, (weight * x for weight, x in zip(weights, inputs, strict=True)))
        depthwise = self.conv(
            kernel_size=3, depthwise=True, use_bias=False, norm=None, name="depthwise"
        )
        return nn.swish(self.conv(kernel_size=1, name="pointwise")(depthwise(x)))
