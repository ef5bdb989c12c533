"""The neck of YOLOX: a path aggregation network (PANet) of CSP layers."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from fpn_jax.backbones.csp_darknet import CSPLayer
from fpn_jax.layers import (
    AxisName,
    Dtype,
    Norm,
    SeparableConv,
    normed_conv,
    torch_uniform,
)
from fpn_jax.ops.upsampling import upsample_to
from fpn_jax.types import Pyramid


class YOLOXPAFPN(nn.Module):
    """A path down from the coarsest level and one back; each level keeps its channels.

    Down: a 1x1 convolution (`lateral`) to the channels of the level below, upsampling,
    and a CSP layer (`top_down`) of the result beside the backbone's level. Back: a 3x3
    convolution of stride 2 (`down`), and a CSP layer (`bottom_up`) of the result beside
    the output of the lateral convolution. Bottlenecks have no shortcuts.
    """

    # Factor of the number of bottlenecks of each CSP layer, which is 3 at 1.
    depth: float = 1.0
    depthwise: bool = False  # Make the 3x3 convolutions depthwise separable.
    norm: Norm = "batch"  # Norm behind each convolution, which then has no bias.
    # Number that a norm adds to a variance; the authors' code has 1e-3.
    norm_epsilon: float = 1e-3
    # Share of the old statistics that batch norm keeps at a step.
    norm_momentum: float = 0.97
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @property
    def repeats(self) -> int:
        """The number of bottlenecks of each CSP layer."""
        return round(3 * self.depth)

    @nn.compact
    def __call__(self, pyramid: Pyramid, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**level, W / 2**level, C of that level]}."""
        levels = sorted(pyramid)
        if levels != list(range(levels[0], levels[-1] + 1)):
            raise ValueError(
                f"levels of a YOLOXPAFPN must follow each other, got {levels}"
            )
        conv = partial(
            normed_conv(self, train=train),
            norm_momentum=self.norm_momentum,
            kernel_init=torch_uniform,
        )
        wide = partial(SeparableConv, conv) if self.depthwise else conv
        csp = partial(CSPLayer, conv, wide, repeats=self.repeats, shortcut=False)
        x, laterals = pyramid[levels[-1]], {}
        for level in reversed(levels[:-1]):
            below = pyramid[level]
            _, height, width, channels = below.shape
            lateral = nn.silu(conv(channels, 1, name=f"lateral{level + 1}")(x))
            laterals[level + 1] = lateral
            both = [upsample_to(lateral, height, width), below]
            merge = csp(channels, name=f"top_down{level}")
            x = merge(jnp.concatenate(both, axis=-1))
        outputs = {levels[0]: x}
        for level in levels[1:]:
            down = wide(x.shape[-1], 3, stride=2, name=f"down{level}")
            both = [nn.silu(down(x)), laterals[level]]
            merge = csp(pyramid[level].shape[-1], name=f"bottom_up{level}")
            x = outputs[level] = merge(jnp.concatenate(both, axis=-1))
        return outputs
