"""The path aggregation neck (PANet: Liu et al. 2018, section 3.1 and figure 1 b)."""

from functools import partial

import flax.linen as nn

from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.necks.extra_levels import ExtraLevels, extra_levels
from fpn_jax.necks.fpn import FPN
from fpn_jax.types import Pyramid


class PAFPN(nn.Module):
    """FPN, and then a path from the bottom up: details reach the top in few steps.

    N of the finest level is P. Each next one is a 3x3 convolution (`output`) of P plus
    a 3x3 convolution of stride 2 (`down`) of the N below. A ReLU follows each
    convolution of this path. With `repeats`, the outputs go through both paths again,
    which have weights of their own.

    `extra` adds levels above the top one, as in `FPN`, made of N (or of C). A `norm`
    follows every convolution but theirs.
    """

    channels: int = 256  # Channels of every level.
    # Times that features go through both paths, each with weights of its own.
    repeats: int = 1
    # Levels above the top one: "pool" adds one for a proposal head, "conv_p5" and
    # "conv_c5" add two for a dense head.
    extra: ExtraLevels = "pool"
    norm: Norm = None  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, channels]}, finest first."""
        if self.repeats < 1:
            raise ValueError(f"repeats must be 1 or more, got {self.repeats}")
        levels, top = sorted(pyramid), max(pyramid)
        if levels != list(range(levels[0], top + 1)):
            raise ValueError(f"levels of a PAFPN must follow each other, got {levels}")
        outputs = pyramid
        for i in range(self.repeats):
            fpn = FPN(
                self.channels,
                extra="none",
                norm=self.norm,
                norm_epsilon=self.norm_epsilon,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=f"top_down{i}",
            )
            outputs = self._bottom_up(i, fpn(outputs, train=train), train)
        init = nn.initializers.lecun_uniform()  # as FPN's
        plain = partial(Conv, self.channels, kernel_init=init, dtype=self.dtype)
        return outputs | extra_levels(
            self.extra, plain, top=top, c_top=pyramid[top], p_top=outputs[top]
        )

    def _bottom_up(self, i: int, pyramid: Pyramid, train: bool) -> Pyramid:
        """Returns N of every level of P, after the path number `i`."""
        conv = partial(
            normed_conv(self, train=train),
            self.channels,
            kernel_init=nn.initializers.lecun_uniform(),
        )
        outputs = {}
        below = None
        for level in sorted(pyramid):
            x = pyramid[level]
            if below is not None:
                down = nn.relu(conv(stride=2, name=f"down{i}_{level}")(below))
                x = nn.relu(conv(name=f"output{i}_{level}")(x + down))
            outputs[level] = below = x
        return outputs
