"""The feature pyramid network (Lin et al. 2017, section 3 and figure 3)."""

from collections.abc import Callable
from functools import partial, reduce
from operator import add

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.choices import check_choice
from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.necks.extra_levels import NUM_EXTRA, ExtraLevels, extra_levels
from fpn_jax.ops.strips import cut, joined, strips_of
from fpn_jax.ops.upsampling import upsample_to
from fpn_jax.types import Pyramid


class FPN(nn.Module):
    """Every level with the same channels, and with the semantics of the top one.

    From the top down: a 1x1 convolution of C_l (`lateral`) plus the merge of the next
    coarser level given, upsampled to the size of C_l (`top_down`); a 3x3 convolution of
    the sum is P_l.
    There are no non-linearities. Without laterals, the top level alone keeps its 1x1
    (table 1 (e) of the paper).

    `extra` adds levels above the top one (`extra_levels.py`): "pool" one for an RPN,
    "conv_p5" and "conv_c5" two for a dense head.

    A `norm` follows each lateral and each output convolution, which then have no bias
    (torchvision's v2 detectors); P6 and P7 have a bias and no norm.
    """

    channels: int = 256  # Channels of every level.
    levels: tuple[int, ...] | None = None  # Levels to give, by default all.
    # Have a 1x1 convolution between each level of the backbone and the pyramid.
    lateral: bool = True
    top_down: bool = True  # Add the next coarser level to each level.
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
        levels = self._returned_levels(pyramid)
        pyramid = jax.tree.map(jnp.asarray, pyramid)
        top = max(pyramid)
        # Kaiming-uniform with a = 1, as torchvision initializes its pyramids.
        init = nn.initializers.lecun_uniform()
        conv = partial(normed_conv(self, train=train), self.channels, kernel_init=init)
        # How many strips each image of a level is best cut into.
        strips = {level: strips_of(x) for level, x in pyramid.items()}
        merged = self._merge(conv, pyramid, strips, finest=min(*levels, top))
        outputs = {}
        for level, x in merged.items():
            if level in levels or (level == top and max(levels) > top):
                x = conv(3, name=f"output{level}")(x, strips=strips[level])
                outputs[level] = joined(x, strips[level])
        if max(levels) > top:
            plain = partial(Conv, self.channels, kernel_init=init, dtype=self.dtype)
            outputs |= extra_levels(
                self.extra, plain, top=top, c_top=pyramid[top], p_top=outputs[top]
            )
        return {level: outputs[level] for level in levels}

    def _returned_levels(self, pyramid: Pyramid) -> tuple[int, ...]:
        check_choice("extra", self.extra, NUM_EXTRA)
        if not (self.lateral or self.top_down) and len(pyramid) > 1:
            raise ValueError(
                "lateral and top_down are both False: nothing would reach the levels "
                f"below {max(pyramid)}"
            )
        top = max(pyramid)
        extra = range(top + 1, top + 1 + NUM_EXTRA[self.extra])
        available = (*sorted(pyramid), *extra)
        if self.levels is None:
            return available
        for level in self.levels or (None,):
            check_choice("levels", level, available)
        return tuple(sorted(self.levels))

    def _merge(
        self,
        conv: Callable[..., Conv],
        pyramid: Pyramid,
        strips: dict[int, int],
        *,
        finest: int,
    ) -> Pyramid:
        """Returns the sums before the 3x3 convolutions, from the top to `finest`.

        Each is of so many strips.
        """
        merged = {}
        for level in sorted(pyramid, reverse=True):
            if level < finest:
                break
            x = cut(pyramid[level], strips[level])
            parts = []
            if self.lateral or not merged:
                parts.append(conv(1, name=f"lateral{level}")(x, strips=strips[level]))
            if self.top_down and merged:
                coarser = min(merged)
                above = merged[coarser]
                if (
                    strips[coarser] == strips[level]
                    and x.shape[2] == 2 * above.shape[2]
                ):
                    parts.append(upsample_to(above, *x.shape[1:3]))
                else:
                    above = joined(above, strips[coarser])
                    above = upsample_to(above, *pyramid[level].shape[1:3])
                    parts.append(cut(above, strips[level]))
            merged[level] = reduce(add, parts)
        return merged
