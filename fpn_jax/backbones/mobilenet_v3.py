"""MobileNetV3 (Howard et al. 2019, tables 1 and 2): an image to the pyramid C2 … C6."""

from typing import Literal

import flax.linen as nn
import jax

from fpn_jax.backbones.inverted_residuals import Plan, Row, pyramid_of, scaled
from fpn_jax.backbones.stages import frozen_names
from fpn_jax.choices import check_choice
from fpn_jax.layers import AxisName, Dtype, Norm
from fpn_jax.types import Pyramid

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


class MobileNetV3(nn.Module):
    """Features of the levels named by `levels`; stages above them are not built.

    C2 … C5 come from the block that reduces to their stride, the first of its stage, as
    torchvision's detectors take them. C6 is the last 1x1 convolution, whose stride is
    32, as C5's. torchvision's detectors use (5, 6), blocks 13 and 16
    there.

    Frozen stages (`stages.py` counts them; the sixth is the last convolution) pass no
    gradient, and batch norm in them keeps its running statistics. 3 freezes what
    torchvision does by default.
    """

    # Size of the network, with another table of blocks for each.
    size: Literal["large", "small"] = "large"
    width: float = 1.0  # Factor of the channels of every block.
    norm: Norm = "frozen"  # Norm behind each convolution, which then has no bias.
    # Number that a norm adds to a variance; torchvision's classifiers have 1e-3.
    norm_epsilon: float = 1e-5
    # Levels to give: level l has a stride of 2**l pixels.
    levels: tuple[int, ...] = (2, 3, 4, 5)
    # First stages that are not trained, counted from the stem; 0 trains all.
    frozen_stages: int = 0
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
    dtype: Dtype = None

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the stages that no step of training changes."""
        return frozen_names(self.frozen_stages)

    @property
    def plan(self) -> Plan:
        """The table of this size, at this width."""
        check_choice("size", self.size, ROWS)
        stages = tuple(
            tuple(self._scaled(row) for row in rows) for rows in ROWS[self.size]
        )
        last = 6 * stages[-1][-1].features
        return Plan(scaled(16, self.width), stages, last, HS)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**min(level, 5), W / …, C]} of normalized images."""
        return pyramid_of(self, images, train=train)

    def _scaled(self, row: Row) -> Row:
        return row._replace(
            expanded=scaled(row.expanded, self.width),
            features=scaled(row.features, self.width),
        )
