"""CSPDarknet as YOLOX has it (Ge et al. 2021, section 2): an image to C2 … C5.

Darknet of cross-stage partial blocks (YOLOv4: Bochkovskiy et al. 2020) in the form of
YOLOv5. SiLU follows every convolution and its norm.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.backbones.stages import check_stages, frozen_names
from fpn_jax.choices import check_choice
from fpn_jax.layers import (
    AxisName,
    Dtype,
    Norm,
    SeparableConv,
    normed_conv,
    torch_uniform,
)
from fpn_jax.ops.pooling import max_filter
from fpn_jax.ops.strides import strided
from fpn_jax.types import Pyramid

MakeConv = Callable[..., nn.Module]  # (features, kernel_size=3, *, stride=1, name)


class Bottleneck(nn.Module):
    """1x1 and 3x3 of the input's channels; with `shortcut`, added to the input."""

    conv: MakeConv
    wide: MakeConv
    shortcut: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.silu(self.conv(x.shape[-1], 1, name="conv1")(x))
        y = nn.silu(self.wide(x.shape[-1], 3, name="conv2")(y))
        return x + y if self.shortcut else y


class CSPLayer(nn.Module):
    """Bottlenecks on half of the channels; the other half goes past them."""

    conv: MakeConv
    wide: MakeConv  # the 3x3 ones: `conv`, or depthwise separable
    features: int
    repeats: int
    shortcut: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        half = self.features // 2
        through = nn.silu(self.conv(half, 1, name="conv1")(x))
        for i in range(self.repeats):
            block = Bottleneck(self.conv, self.wide, self.shortcut, name=f"block{i}")
            through = block(through)
        past = nn.silu(self.conv(half, 1, name="conv2")(x))
        both = jnp.concatenate([through, past], axis=-1)
        return nn.silu(self.conv(self.features, 1, name="conv3")(both))


class SPP(nn.Module):
    """Spatial pyramid pooling: maxima of 5x5, 9x9 and 13x13 beside the features."""

    conv: MakeConv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pooled = [nn.silu(self.conv(x.shape[-1] // 2, 1, name="conv1")(x))]
        for _ in range(3):  # two maxima of 5x5 make one of 9x9
            pooled.append(max_filter(pooled[-1], window=5))
        return nn.silu(
            self.conv(x.shape[-1], 1, name="conv2")(jnp.concatenate(pooled, axis=-1))
        )


class Stem(nn.Module):
    """The first convolution, to half the resolution."""

    conv: MakeConv
    kind: str
    features: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        if self.kind == "focus":
            x = self.conv(self.features, 3, name="conv")(focus(images))
        else:
            x = self.conv(self.features, 3, stride=2, name="conv")(images)
        return nn.silu(x)


class Stage(nn.Module):
    """A 3x3 convolution of stride 2, the pooling of the last stage, and a CSP layer."""

    conv: MakeConv
    wide: MakeConv
    features: int
    repeats: int
    last: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.silu(self.wide(self.features, 3, stride=2, name="down")(x))
        if self.last:
            x = SPP(self.conv, name="spp")(x)
        csp = CSPLayer(
            self.conv,
            self.wide,
            self.features,
            self.repeats,
            shortcut=not self.last,
            name="csp",
        )
        return csp(x)


class CSPDarknet(nn.Module):
    """Features of the levels named by `levels`; stages above them are not built.

    Frozen stages (`stages.py` counts them) pass no gradient, and batch norm in them
    keeps its running statistics.
    """

    # Factor of the numbers of bottlenecks, which are 3, 9, 9 and 3 at 1.
    depth: float = 1.0
    # Factor of the channels, which are 64 in the stem and 1024 in C5 at 1.
    width: float = 1.0
    # Form of the stem: "focus" stacks the pixels of each 2x2 square, "conv" is a 3x3
    # convolution of stride 2.
    stem_form: Literal["focus", "conv"] = "focus"
    # Make all 3x3 convolutions but the stem's depthwise separable.
    depthwise: bool = False
    norm: Norm = "batch"  # Norm behind each convolution, which then has no bias.
    # Number that a norm adds to a variance; the authors' code has 1e-3.
    norm_epsilon: float = 1e-3
    # Share of the old statistics that batch norm keeps at a step.
    norm_momentum: float = 0.97
    # Levels to give: level l has a stride of 2**l pixels.
    levels: tuple[int, ...] = (3, 4, 5)
    # First stages that are not trained, counted from the stem; 0 trains all.
    frozen_stages: int = 0
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
        check_stages(self.levels, self.frozen_stages)
        check_choice("stem_form", self.stem_form, ("focus", "conv"))
        channels = int(64 * self.width)
        stem = Stem(self._conv(1, train), self.stem_form, channels, name="stem")
        x = self._frozen(1, stem(images))
        pyramid = {}
        for level in range(2, max(self.levels) + 1):
            conv = self._conv(level, train)
            stage = Stage(
                conv,
                partial(SeparableConv, conv) if self.depthwise else conv,
                features=channels * 2 ** (level - 1),
                repeats=self.repeats(level),
                last=level == 5,
                name=f"stage{level}",
            )
            x = pyramid[level] = self._frozen(level, stage(x))
        return {level: pyramid[level] for level in sorted(self.levels)}

    def repeats(self, stage: int) -> int:
        """The number of bottlenecks of a stage, 2 … 5."""
        return max(round(3 * self.depth), 1) * (3 if stage in (3, 4) else 1)

    def _frozen(self, stage: int, x: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(x) if stage <= self.frozen_stages else x

    def _conv(self, stage: int, train: bool) -> MakeConv:
        train = train and stage > self.frozen_stages
        return partial(
            normed_conv(self, train=train),
            norm_momentum=self.norm_momentum,
            kernel_init=torch_uniform,
        )


def focus(images: jax.Array) -> jax.Array:
    """Returns the pixels of each 2x2 square side by side: [B, H / 2, W / 2, 4 C].

    Column by column: upper left, lower left, upper right, lower right.
    """
    squares = [strided(images, row=y, column=x) for x in (0, 1) for y in (0, 1)]
    return jnp.concatenate(squares, axis=-1)
