"""The mask head of a two-stage detector (Mask R-CNN, section 3 and figure 4, right).

Features cut out of the level that suits a box give every class a mask of the box, each
on its own: the class is the box head's choice. Outputs are in torchvision's order: the
background is channel 0 and class k is channel k + 1.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from fpn_jax.heads.box import RoISamples
from fpn_jax.heads.deconv import Deconv
from fpn_jax.layers import AxisName, Conv, Dtype, Norm
from fpn_jax.ops.masks import mask_targets
from fpn_jax.ops.roi_align import pyramid_roi_align
from fpn_jax.types import LossTerm, Pyramid, Targets


class MaskHead(nn.Module):
    """Mask logits of boxes; their loss; the masks of chosen classes.

    Convolutions, a transposed one that doubles the side, and one logit per class. In
    torchvision's v2 each of the first has a norm and no bias.
    """

    num_classes: int = 90  # without the background; 90: ids of COCO, ten of them unused
    # Network.
    levels: tuple[int, ...] = (2, 3, 4, 5)  # from which features are cut out
    canonical_size: float = 224.0  # pixels of a box of level 4 (FPN, eq. 1)
    size: int = 14  # cells along a side of the cut-out; a mask has twice as many
    sampling_ratio: int = 2  # samples along a side of a cell
    aligned: bool = False  # True: pixel centers are at halves, as in Detectron2
    num_convs: int = 4
    channels: int = 256
    norm: Norm = None  # of the convolutions
    norm_epsilon: float = 1e-5
    axis_name: AxisName = None  # the pmap axis of norm="batch"
    dtype: Dtype = None

    @nn.compact
    def __call__(
        self,
        pyramid: Pyramid,
        boxes: jax.Array,
        valid: jax.Array | None = None,
        *,
        canvas: tuple[int, int],
        train: bool = False,
    ) -> jax.Array:
        """Returns logits [B, R, 2 size, 2 size, K+1] of `boxes [B, R, 4]`.

        With `norm="batch"` and `train` the statistics are those of the boxes that are
        `valid [B, R]`; None: of all.
        """
        x = pyramid_roi_align(
            {level: pyramid[level] for level in self.levels},
            boxes,
            canvas=canvas,
            size=self.size,
            sampling_ratio=self.sampling_ratio,
            aligned=self.aligned,
            canonical_size=self.canonical_size,
        )
        x = x.reshape(-1, *x.shape[2:])
        rows = None if valid is None else valid.reshape(-1)
        for i in range(self.num_convs):
            conv = Conv(
                self.channels,
                use_bias=self.norm is None,
                norm=self.norm,
                norm_epsilon=self.norm_epsilon,
                train=train,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=f"conv{i}",
            )
            x = nn.relu(conv(x, rows))
        x = nn.relu(Deconv(self.channels, dtype=self.dtype, name="deconv")(x))
        num_outputs = self.num_classes + 1
        logits = Conv(num_outputs, 1, dtype=self.dtype, name="mask_logits")(x)
        return logits.reshape(*boxes.shape[:2], *logits.shape[1:])

    def loss(
        self, logits: jax.Array, samples: RoISamples, targets: Targets
    ) -> dict[str, LossTerm]:
        """Returns `mask`: the mean over the positive samples and their cells.

        Binary cross-entropy of the object's class alone: classes do not compete
        (Mask R-CNN, section 3). The targets are how much of each cell the object
        covers.

        Raises:
          ValueError: for targets without masks.
        """
        if targets.masks is None:
            raise ValueError(
                "targets.masks is None, and a mask head is trained on them"
            )

        def image_targets(targets, boxes, index):
            return mask_targets(
                targets.masks,
                boxes,
                index,
                size=logits.shape[2],
                regions=targets.mask_regions,
            )

        wanted = jax.vmap(image_targets)(targets, samples.boxes, samples.index)
        chosen = _of_class(logits, samples.labels)
        cross_entropy = optax.sigmoid_binary_cross_entropy(chosen, wanted)
        positive = samples.positive & samples.valid
        total = jnp.sum(cross_entropy.mean(axis=(2, 3)), where=positive)
        return {"mask": LossTerm(total, jnp.sum(positive, dtype=jnp.float32))}

    def masks(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        """Returns probabilities [B, D, M, M], each box's of its class `labels [B, D]`.

        The M x M cells divide the box; they are float32.
        """
        return jax.nn.sigmoid(_of_class(logits, labels))


def _of_class(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the logits of each box's own class, float32 [B, R, M, M]."""
    channel = (labels + 1)[..., None, None, None]
    chosen = jnp.take_along_axis(logits, channel, axis=-1)
    return chosen[..., 0].astype(jnp.float32)
