"""MobileNetV2 (Sandler et al. 2018, table 2): an image to the pyramid C2 … C6."""

import flax.linen as nn
import jax

from fpn_jax.backbones.inverted_residuals import Plan, Row, pyramid_of, scaled
from fpn_jax.backbones.stages import frozen_names
from fpn_jax.layers import AxisName, Dtype, Norm
from fpn_jax.types import Pyramid

# The bottlenecks of the stem and of the stages 2 … 5: the factor of expansion, the
# output channels, and how many there are of them.
STAGES = (
    ((1, 16, 1),),
    ((6, 24, 2),),
    ((6, 32, 3),),
    ((6, 64, 4), (6, 96, 3)),
    ((6, 160, 3), (6, 320, 1)),
)


class MobileNetV2(nn.Module):
    """Features of the levels named by `levels`; stages above them are not built.

    C2 … C5 come from the bottleneck that reduces to their stride, the first of its
    stage, as torchvision's detectors take them. C6 is the last 1x1 convolution, whose
    stride is 32, as C5's. torchvision's `mobilenet_backbone` gives (5, 6) to a
    pyramid, blocks 14 and 18 there.

    Frozen stages (`stages.py` counts them; the sixth is the last convolution) pass no
    gradient, and batch norm in them keeps its running statistics. 3 freezes what
    torchvision does by default.
    """

    width: float = 1.0  # Factor of the channels of every block.
    norm: Norm = "frozen"  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
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
        """The table of the paper, at this width.

        The last convolution never has fewer than its 1280 channels (section 5).
        """
        stem = channels = scaled(32, self.width)
        stages = []
        for groups in STAGES:
            rows = []
            for factor, features, count in groups:
                for _ in range(count):
                    row = Row(
                        kernel_size=3,
                        expanded=factor * channels,
                        features=scaled(features, self.width),
                        squeeze=False,
                        activation=nn.relu6,
                    )
                    rows.append(row)
                    channels = row.features
            stages.append(tuple(rows))
        return Plan(stem, tuple(stages), scaled(1280, max(1.0, self.width)), nn.relu6)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Pyramid:
        """Returns {level: [B, H / 2**min(level, 5), W / …, C]} of normalized images."""
        return pyramid_of(self, images, train=train)
