"""MobileNetV3 (Howard et al. 2019, tables 1 and 2): an image to the pyramid C2 … C6."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import flax.linen as nn
import jax

from fpn_jax.backbones.stages import check_stages, frozen_names
from fpn_jax.choices import check_choice
from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.types import Pyramid


class Row(NamedTuple):
    """A bottleneck in the columns of the paper's tables."""

    kernel_size: int
    expanded: int
    features: int
    squeeze: bool
    activation: Callable[[jax.Array], jax.Array]


RE, HS = nn.relu, nn.hard_swish

# size: the bottlenecks of the stem and of the stages 2 … 5; the first of a stage is
# the one of stride 2.
ROWS = {
    "large": (
        (Row(3, 16, 16, False, RE),),
        (Row(3, 64, 24, False, RE), Row(3, 72, 24, False, RE)),
        (Row(5, 72, 40, True, RE), *2 * (Row(5, 120, 40, True, RE),)),
        (
            Row(3, 240, 80, False, HS),
            Row(3, 200, 80, False, HS),
            *2 * (Row(3, 184, 80, False, HS),),
            Row(3, 480, 112, True, HS),
            Row(3, 672, 112, True, HS),
        ),
        (Row(5, 672, 160, True, HS), *2 * (Row(5, 960, 160, True, HS),)),
    ),
    "small": (
        (),
        (Row(3, 16, 16, True, RE),),
        (Row(3, 72, 24, False, RE), Row(3, 88, 24, False, RE)),
        (
            Row(5, 96, 40, True, HS),
            *2 * (Row(5, 240, 40, True, HS),),
            Row(5, 120, 48, True, HS),
            Row(5, 144, 48, True, HS),
        ),
        (Row(5, 288, 96, True, HS), *2 * (Row(5, 576, 96, True, HS),)),
    ),
}


class Bottleneck(nn.Module):
    """1x1, depthwise, squeeze-and-excite, linear 1x1 (Howard et al., figure 4)."""

    conv: Callable[..., nn.Module]
    row: Row
    width: float
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        act = self.row.activation
        expanded = scaled(self.row.expanded, self.width)
        features = scaled(self.row.features, self.width)
        y = x
        if expanded != x.shape[-1]:
            y = act(self.conv(expanded, 1, name="expand")(y))
        y = self.conv(
            expanded,
            self.row.kernel_size,
            stride=self.stride,
            depthwise=True,
            name="depthwise",
        )(y)
        y = act(y)
        if self.row.squeeze:
            y = y * self._importance(y)
        y = self.conv(features, 1, name="project")(y)
        return x + y if x.shape == y.shape else y

    def _importance(self, y: jax.Array) -> jax.Array:
        """Returns a factor in 0 … 1 for each channel (Hu et al. 2018, section 3)."""
        conv = partial(self.conv, kernel_size=1, norm=None, use_bias=True)
        squeezed = scaled(y.shape[-1] // 4, 1)
        z = nn.relu(conv(squeezed, name="squeeze")(y.mean((1, 2), keepdims=True)))
        return nn.hard_sigmoid(conv(y.shape[-1], name="excite")(z))


class Stem(nn.Module):
    """A 3x3 convolution of stride 2, and what follows it at that resolution."""

    conv: Callable[..., nn.Module]
    rows: tuple[Row, ...]
    width: float

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        conv = self.conv(scaled(16, self.width), 3, stride=2, name="conv")
        x = nn.hard_swish(conv(images))
        for i, row in enumerate(self.rows):
            x = Bottleneck(self.conv, row, self.width, stride=1, name=f"block{i}")(x)
        return x


class Stage(nn.Module):
    """Bottlenecks of one resolution; the first one, of stride 2, reduces to it."""

    conv: Callable[..., nn.Module]
    rows: tuple[Row, ...]
    width: float

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the features after the first bottleneck and after the last."""
        outputs = []
        for i, row in enumerate(self.rows):
            stride = 2 if i == 0 else 1
            block = Bottleneck(self.conv, row, self.width, stride, name=f"block{i}")
            x = block(x)
            outputs.append(x)
        return outputs[0], outputs[-1]


class LastConv(nn.Module):
    """A 1x1 convolution to six times the channels, before the classifier."""

    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.hard_swish(self.conv(6 * x.shape[-1], 1, name="conv")(x))


class MobileNetV3(nn.Module):
    """Features of the levels named by `levels`; only what they need is built.

    C2 … C5 are those of the bottleneck that reduces to their stride, the first of its
    stage, as torchvision's detectors take them. C6 is the last 1x1 convolution: its
    stride is 32 like that of C5. torchvision's detectors use (5, 6), blocks 13 and 16
    there.

    Frozen stages (`stages.py` counts them; the sixth is the last convolution) pass no
    gradient, and batch norm in them keeps its running statistics. 3 freezes what
    torchvision does by default.
    """

    size: Literal["large", "small"] = "large"
    width: float = 1.0  # multiplies the channels of every bottleneck
    norm: Norm = "frozen"
    norm_epsilon: float = 1e-5  # torchvision's detectors; its classifiers have 1e-3
    levels: tuple[int, ...] = (2, 3, 4, 5)
    frozen_stages: int = 0
    axis_name: AxisName = None  # the pmap axis of norm="batch"
    dtype: Dtype = None

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the stages that no step of training changes."""
        return frozen_names(self.frozen_stages)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**min(level, 5), W / …, C]} of normalized images."""
        check_choice("size", self.size, ROWS)
        check_stages(self.levels, self.frozen_stages, top=6)
        stem_rows, *stages = ROWS[self.size]
        top = max(self.levels)

        x = Stem(self._conv(1, train), stem_rows, self.width, name="stem")(images)
        x = self._frozen(1, x)
        pyramid = {}
        for level, rows in enumerate(stages[: top - 1], start=2):
            rows = rows[:1] if level == top else rows
            stage = Stage(
                self._conv(level, train), rows, self.width, name=f"stage{level}"
            )
            pyramid[level], x = self._frozen(level, stage(x))
        if top == 6:
            pyramid[6] = self._frozen(
                6, LastConv(self._conv(6, train), name="stage6")(x)
            )
        return {level: pyramid[level] for level in sorted(self.levels)}

    def _frozen(self, stage: int, x):
        return jax.lax.stop_gradient(x) if stage <= self.frozen_stages else x

    def _conv(self, stage: int, train: bool) -> Callable[..., Conv]:
        train = train and stage > self.frozen_stages
        return partial(normed_conv(self, train=train), use_bias=False)


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
