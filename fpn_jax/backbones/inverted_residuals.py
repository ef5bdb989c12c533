"""The body that MobileNetV2 and MobileNetV3 share: inverted residuals in five stages.

Parameters are named by stage and block, as `stages.py` says. A network states its
channels, kernels and activations as a `Plan`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import flax.linen as nn
import jax

from fpn_jax.backbones.stages import check_stages
from fpn_jax.layers import AxisName, Conv, Dtype, Norm, normed_conv
from fpn_jax.types import Pyramid

Activation = Callable[[jax.Array], jax.Array]


class Row(NamedTuple):
    """An inverted residual in the columns of the papers' tables."""

    kernel_size: int
    expanded: int  # channels of the depthwise convolution
    features: int
    squeeze: bool
    activation: Activation


class Plan(NamedTuple):
    """The channels, kernels and activations of a network."""

    stem: int  # channels of the first convolution
    # The rows of the stem and of the stages 2 … 5. The first of a stage has stride 2.
    stages: tuple[tuple[Row, ...], ...]
    last: int  # channels of the 1x1 convolution before the classifier
    activation: Activation  # of the first and of the last convolution


class MobileNet(Protocol):
    """The settings of a network that its body needs."""

    norm: Norm
    norm_epsilon: float
    axis_name: AxisName
    dtype: Dtype
    levels: tuple[int, ...]
    frozen_stages: int

    @property
    def plan(self) -> Plan: ...


class InvertedResidual(nn.Module):
    """1x1, depthwise, squeeze-and-excite where asked, linear 1x1.

    Sandler et al. 2018, figure 3 b; Howard et al. 2019, figure 4.
    """

    conv: Callable[..., nn.Module]
    row: Row
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        row = self.row
        y = x
        if row.expanded != x.shape[-1]:
            y = row.activation(self.conv(row.expanded, 1, name="expand")(y))
        depthwise = partial(self.conv, stride=self.stride, depthwise=True)
        y = depthwise(row.expanded, row.kernel_size, name="depthwise")(y)
        y = row.activation(y)
        if row.squeeze:
            y = y * self._importance(y)
        y = self.conv(row.features, 1, name="project")(y)
        return x + y if x.shape == y.shape else y

    def _importance(self, y: jax.Array) -> jax.Array:
        """Returns a factor in 0 … 1 for each channel (Hu et al. 2018, section 3)."""
        conv = partial(self.conv, kernel_size=1, norm=None, use_bias=True)
        squeezed = scaled(y.shape[-1] // 4, 1)
        z = nn.relu(conv(squeezed, name="squeeze")(y.mean((1, 2), keepdims=True)))
        return nn.hard_sigmoid(conv(y.shape[-1], name="excite")(z))


class Stem(nn.Module):
    """A 3x3 convolution of stride 2, and the blocks at its resolution."""

    conv: Callable[..., nn.Module]
    plan: Plan

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = self.conv(self.plan.stem, 3, stride=2, name="conv")
        x = self.plan.activation(conv(images))
        for i, row in enumerate(self.plan.stages[0]):
            x = InvertedResidual(self.conv, row, stride=1, name=f"block{i}")(x)
        return x


class Stage(nn.Module):
    """Blocks of one resolution; the first one, of stride 2, reduces to it."""

    conv: Callable[..., nn.Module]
    rows: tuple[Row, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the features after the first block and after the last."""
        outputs = []
        for i, row in enumerate(self.rows):
            stride = 2 if i == 0 else 1
            x = InvertedResidual(self.conv, row, stride, name=f"block{i}")(x)
            outputs.append(x)
        return outputs[0], outputs[-1]


class LastConv(nn.Module):
    """The 1x1 convolution before the classifier."""

    conv: Callable[..., nn.Module]
    plan: Plan

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.plan.activation(self.conv(self.plan.last, 1, name="conv")(x))


def pyramid_of(network: MobileNet, images: jax.Array, *, train: bool) -> Pyramid:
    """Returns the levels of a network, within whose compact method it is called.

    C2 … C5 come from the block that reduces to their stride, the first of its stage, as
    torchvision's detectors take them. C6 is the last 1x1 convolution, whose stride is
    32, as C5's.
    """
    check_stages(network.levels, network.frozen_stages, top=6)
    plan, top = network.plan, max(network.levels)

    def conv(stage: int) -> Callable[..., Conv]:
        trained = train and stage > network.frozen_stages
        return partial(normed_conv(network, train=trained), use_bias=False)

    def frozen(stage: int, x):
        return jax.lax.stop_gradient(x) if stage <= network.frozen_stages else x

    x = frozen(1, Stem(conv(1), plan, name="stem")(images))
    pyramid = {}
    for level, rows in enumerate(plan.stages[1:top], start=2):
        rows = rows[:1] if level == top else rows
        stage = Stage(conv(level), rows, name=f"stage{level}")
        pyramid[level], x = frozen(level, stage(x))
    if top == 6:
        pyramid[6] = frozen(6, LastConv(conv(6), plan, name="stage6")(x))
    return {level: pyramid[level] for level in sorted(network.levels)}


def scaled(channels: int, width: float) -> int:
    """Returns width times channels as the nearest multiple of 8, at least 8 and at
    least 90 % (the rule of the MobileNets).

    >>> scaled(24, 0.35)  # 8.4 becomes 8
    8
    >>> scaled(24, 0.5)  # 12 becomes 16: halves go up
    16
    """
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8
