"""ResNet (He et al. 2015, table 1): an image to the pyramid C2 … C5.

With groups it is ResNeXt (Xie et al. 2017), and with wider bottlenecks the Wide ResNet
that torchvision has (Zagoruyko and Komodakis 2016).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.backbones.stages import check_stages, frozen_names
from fpn_jax.choices import check_choice
from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.pooling import max_pool
from fpn_jax.ops.quads import convolve_quads, is_for_quads, pool_quads
from fpn_jax.ops.strips import cut, is_wide, joined, strips_of
from fpn_jax.types import Pyramid


class Stem(nn.Module):
    """A 7x7 convolution and a 3x3 max-pool, both of stride 2."""

    conv: Callable[..., Conv]
    features: int
    strips: int = 1  # into which the images are cut

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = self.conv(self.features, 7, stride=2, name="conv")
        if conv.norm_is_fixed and is_for_quads(images, strips=self.strips):
            x = conv(images, convolution=partial(convolve_quads, strips=self.strips))
            return pool_quads(nn.relu(x), strips=self.strips)
        x = max_pool(nn.relu(conv(images)), window=3, padding=1)
        return cut(x, self.strips)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015, figure 5, left)."""

    conv: Callable[..., Callable]  # makes a convolution
    features: int
    strides: tuple[int, int]  # of conv1 and conv2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        first, second = self.strides
        y = nn.relu(self.conv(self.features, 3, stride=first, name="conv1")(x))
        y = self.conv(self.features, 3, stride=second, name="conv2")(y)
        if x.shape != y.shape:
            stride = first * second
            x = self.conv(self.features, 1, stride=stride, name="shortcut")(x)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 beside a shortcut (He et al. 2015, figure 5, right)."""

    conv: Callable[..., Callable]  # makes a convolution
    features: int  # a fourth of the channels that the block gives
    strides: tuple[int, int]  # of conv1 and conv2
    groups: int = 1  # of the 3x3 convolution
    width_per_group: int = 64  # of its channels, where `features` are 64

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        first, second = self.strides
        inner = self.features * self.width_per_group // 64 * self.groups
        grouped = partial(self.conv, groups=self.groups)
        y = nn.relu(self.conv(inner, 1, stride=first, name="conv1")(x))
        y = nn.relu(grouped(inner, 3, stride=second, name="conv2")(y))
        y = self.conv(4 * self.features, 1, name="conv3")(y)
        if x.shape != y.shape:
            stride = first * second
            x = self.conv(4 * self.features, 1, stride=stride, name="shortcut")(x)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Blocks of one resolution; the first one reduces it."""

    block: Callable[..., nn.Module]
    features: int
    num_blocks: int
    strides: tuple[int, int]  # of the first block

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.num_blocks):
            strides = self.strides if i == 0 else (1, 1)
            x = self.block(self.features, strides, name=f"block{i}")(x)
        return x


# depth: the block, and how many of it make C2 … C5
DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Features of the stages named by `levels`; only the stages they need are built.

    Frozen stages (`stages.py` counts them) pass no gradient, and batch norm in them
    keeps its running statistics.
    """

    depth: int = 50  # Number of layers: 18, 34, 50, 101 or 152.
    width: int = 64  # Channels of the stem, and inside the blocks of stage 2.
    # Groups of the 3x3 convolutions; more than 1 is a ResNeXt, from depth 50 on.
    groups: int = 1
    # Channels of each group in stage 2 at width 64; 128 and one group are a Wide
    # ResNet.
    width_per_group: int = 64
    norm: Norm = "frozen"  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    # Put the stride of a bottleneck into its first 1x1 convolution, as He et al.'s own
    # weights need it; depths 50 and more.
    stride_in_1x1: bool = False
    # Levels to give: level l has a stride of 2**l pixels.
    levels: tuple[int, ...] = (2, 3, 4, 5)
    # First stages that are not trained, counted from the stem; 0 trains all.
    frozen_stages: int = 0
    # Compute blocks again in the backward pass, which takes less memory.
    remat: bool = False
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the stages that no step of training changes."""
        return frozen_names(self.frozen_stages)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, C]} of normalized images."""
        check_choice("depth", self.depth, DEPTHS)
        check_stages(self.levels, self.frozen_stages)
        block, num_blocks = self._block(), DEPTHS[self.depth][1]
        images = jnp.asarray(images)
        strips = self._strips_of(images)
        stem = Stem(self._conv(1, train), self.width, strips, name="stem")
        x = stem(images)
        if self.frozen_stages >= 1:
            x = jax.lax.stop_gradient(x)
        pyramid = {}
        for level in range(2, max(self.levels) + 1):
            strides = self._strides(level)
            if not _stays_cut(x, max(strides)):
                x, strips = joined(x, strips), 1
            x = Stage(
                partial(block, self._conv(level, train, strips)),
                features=self.width * 2 ** (level - 2),
                num_blocks=num_blocks[level - 2],
                strides=strides,
                name=f"stage{level}",
            )(x)
            if level <= self.frozen_stages:
                x = jax.lax.stop_gradient(x)
            if level in self.levels:
                pyramid[level] = joined(x, strips)
        return pyramid

    def _block(self) -> Callable[..., nn.Module]:
        block, _ = DEPTHS[self.depth]
        grouped = {"groups": self.groups, "width_per_group": self.width_per_group}
        if self.depth < 50 and grouped != {"groups": 1, "width_per_group": 64}:
            raise ValueError(
                f"groups and width_per_group must be 1 and 64 at depth {self.depth}, "
                f"got {self.groups} and {self.width_per_group}: they are fields of the "
                "bottlenecks of depths 50 and more"
            )
        if self.remat:
            block = nn.remat(block)
        return block if self.depth < 50 else partial(block, **grouped)

    def _strides(self, level: int) -> tuple[int, int]:
        """Returns the strides of the first two convolutions of a stage."""
        if level == 2:
            return 1, 1  # the pooling of the stem reached stride 4
        return (2, 1) if self.stride_in_1x1 or self.depth < 50 else (1, 2)

    def _strips_of(self, images: jax.Array) -> int:
        """Returns how many strips of each image all stages are best computed on."""
        if self.groups > 1:
            return 1  # a formulation of its own
        return strips_of(images, reduction=4)

    def _conv(self, stage: int, train: bool, strips: int = 1) -> Callable[..., Any]:
        """Returns a function that makes the convolutions of a stage."""
        train = train and stage > self.frozen_stages
        conv = partial(normed_conv(self, train=train), use_bias=False)
        if strips == 1:
            return conv
        return lambda *fields, **named: partial(conv(*fields, **named), strips=strips)


def _stays_cut(x: jax.Array, stride: int) -> bool:
    """Whether a stage can compute strips: its stride must divide their columns."""
    columns = x.shape[2]
    return columns % stride == 0 and is_wide(columns // stride)
