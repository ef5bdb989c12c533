"""VGG (Simonyan and Zisserman 2014, table 1): an image to the pyramid C2 … C5."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax

from fpn_jax.backbones.stages import check_stages, frozen_names
from fpn_jax.choices import check_choice
from fpn_jax.layers import (
    AxisName,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.pooling import max_pool
from fpn_jax.types import Pyramid

# depth: how many convolutions conv1_x … conv5_x are
DEPTHS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)


class Stage(nn.Module):
    """Groups of 3x3 convolutions, one resolution each: group 3 is conv3_1, conv3_2 …"""

    conv: Callable[..., nn.Module]
    groups: tuple[int, ...]
    num_convs: tuple[int, ...]  # of the groups 1 … 5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for group in self.groups:
            if group > 1:
                x = max_pool(x, window=2, padding=0)
            for i in range(1, self.num_convs[group - 1] + 1):
                name = f"conv{group}_{i}"
                x = nn.relu(self.conv(WIDTHS[group - 1], name=name)(x))
        return x


class VGG(nn.Module):
    """The last features of each stride: C2 … C5 are conv3_x, conv4_x, conv5_x, pool5.

    The bias of a convolution stays beside a norm, as in torchvision. Frozen stages
    (`stages.py` counts them; the stem is conv1_x and conv2_x) pass no gradient, and
    batch norm in them keeps its running statistics.
    """

    depth: int = 16  # Number of layers: 11, 13, 16 or 19.
    # Norm behind each convolution, whose bias stays as in torchvision.
    norm: Norm = None
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    # Levels to give: level l has a stride of 2**l pixels.
    levels: tuple[int, ...] = (2, 3, 4, 5)
    # First stages that are not trained, counted from the stem; 0 trains all.
    frozen_stages: int = 0
    # Compute stages again in the backward pass, which takes less memory.
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
        x = self._stage(1, train, groups=(1, 2), name="stem")(images)
        if self.frozen_stages >= 1:
            x = jax.lax.stop_gradient(x)
        pyramid = {}
        for level in range(2, max(self.levels) + 1):
            if level == 5:
                x = max_pool(x, window=2, padding=0)
            else:
                name = f"stage{level}"
                x = self._stage(level, train, groups=(level + 1,), name=name)(x)
            if level <= self.frozen_stages:
                x = jax.lax.stop_gradient(x)
            if level in self.levels:
                pyramid[level] = x
        return pyramid

    def _stage(
        self, stage: int, train: bool, *, groups: tuple[int, ...], name: str
    ) -> Stage:
        train = train and stage > self.frozen_stages
        # torchvision's have a bias even beside a norm.
        conv = partial(normed_conv(self, train=train), use_bias=True)
        stage_class = nn.remat(Stage) if self.remat else Stage
        return stage_class(conv, groups, DEPTHS[self.depth], name=name)
