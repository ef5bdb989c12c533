"""A small residual network with the shapes of ResNet, for teaching and for tests."""

import flax.linen as nn
import jax

from fpn_jax.backbones.stages import check_stages
from fpn_jax.layers import Conv, Dtype
from fpn_jax.types import Pyramid


class Dummy(nn.Module):
    """C2 … C5 of 56, 28, 14 and 7 for 224x224 pixels, of 74,192 parameters; no norm."""

    width: int = 8  # Channels of the stem and of C2, doubled from level to level.
    # Levels to give: level l has a stride of 2**l pixels.
    levels: tuple[int, ...] = (2, 3, 4, 5)
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, C]}, the same in training."""
        check_stages(self.levels, frozen_stages=0)
        stem = Conv(self.width, 3, stride=2, dtype=self.dtype, name="stem")
        x = nn.relu(stem(images))
        pyramid = {}
        for level in range(2, max(self.levels) + 1):
            width = self.width * 2 ** (level - 2)
            x = Stage(width, self.dtype, name=f"stage{level}")(x)
            if level in self.levels:
                pyramid[level] = x
        return pyramid


class Stage(nn.Module):
    """Halves the resolution, then adds a residual."""

    features: int
    dtype: Dtype = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        reduce = Conv(self.features, 3, stride=2, dtype=self.dtype, name="reduce")
        residual = Conv(self.features, 3, dtype=self.dtype, name="residual")
        x = nn.relu(reduce(x))
        return nn.relu(x + residual(x))
