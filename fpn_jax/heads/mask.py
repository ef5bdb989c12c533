"""The mask head of a two-stage detector (Mask R-CNN, section 3 and figure 4, right).

Features cut out of the level that suits a box give every class a mask of the box, each
on its own: the class is the box head's choice. Outputs are in torchvision's order: the
background is channel 0 and class k is channel k + 1.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from fpn_jax.heads.box import RoISamples
from fpn_jax.heads.deconv import Deconv
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.layers import (
    AxisName,
    Conv,
    Dtype,
    Norm,
    normed_conv,
)
from fpn_jax.ops.masks import mask_targets
from fpn_jax.ops.objects import learnable
from fpn_jax.ops.platforms import by_platform
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets


class MaskHead(nn.Module):
    """Mask logits of boxes; their loss; the masks of chosen classes.

    Convolutions, a transposed one that doubles the side, and one logit per class. In
    torchvision's v2 each of the first has a norm and no bias.
    """

    # Number of classes, without the background; COCO's ids need 90, ten unused.
    num_classes: int = 90
    # How the features of a box are cut out; a mask has twice as many cells along a
    # side.
    pool: RoIPool = RoIPool(size=14)
    num_convs: int = 4  # Number of 3x3 convolutions before the upsampling.
    channels: int = 256  # Channels of each convolution.
    norm: Norm = None  # Norm behind each convolution, which then has no bias.
    norm_epsilon: float = 1e-5  # Number that a norm adds to a variance.
    axis_name: AxisName = None  # The pmap axis over which batch norm averages.
    # Type to compute in, by default the one of the inputs and parameters.
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
        """Returns logits [B, R, 2 S, 2 S, K+1] of `boxes [B, R, 4]`.

        S is the size of the pool. With `norm="batch"` and `train` the statistics are
        taken over the boxes that are `valid [B, R]`, or over all without it.
        """
        x = self.pool(pyramid, boxes, canvas=canvas)
        rows = None if valid is None else valid.reshape(-1)
        conv = normed_conv(self, train=train)
        for i in range(self.num_convs):
            x = nn.relu(conv(self.channels, name=f"conv{i}")(x, rows))
        x = nn.relu(Deconv(self.channels, dtype=self.dtype, name="deconv")(x))
        num_outputs = self.num_classes + 1
        logits = Conv(num_outputs, 1, dtype=self.dtype, name="mask_logits")(x)
        return logits.reshape(*boxes.shape[:2], *logits.shape[1:])

    def loss(
        self, outputs: jax.Array, samples: RoISamples, targets: Targets
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

        targets = learnable(targets)
        positive = samples.positive & samples.valid

        def image_targets(targets, boxes, index):
            return mask_targets(
                targets.masks,
                boxes,
                index,
                size=outputs.shape[2],
                regions=targets.mask_regions,
            )

        wanted = jax.vmap(image_targets)(targets, samples.boxes, samples.index)
        wanted = jnp.where(positive[..., None, None], wanted, 0)
        chosen = _of_class(outputs, samples.labels)
        cross_entropy = optax.sigmoid_binary_cross_entropy(chosen, wanted)
        total = jnp.sum(cross_entropy.mean(axis=(2, 3)), where=positive)
        return {"mask": LossTerm(total, jnp.sum(positive, dtype=jnp.float32))}

    def detections(
        self, outputs: jax.Array, found: Detections, sizes: jax.Array
    ) -> Detections:
        """Returns the detections with the mask of each, by its own class."""
        del sizes  # masks are relative to their boxes
        return dataclasses.replace(found, masks=self.masks(outputs, found.labels))

    def masks(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        """Returns probabilities [B, D, M, M], each box's of its class `labels [B, D]`.

        The M x M cells divide the box; they are float32.
        """
        return jax.nn.sigmoid(_of_class(logits, labels))


def _of_class(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the logits of each box's own class, float32 [B, R, M, M].

    A TPU selects among all classes while it multiplies for them, and never writes their
    logits: of 256 boxes the last layer and the loss, with gradients, take 1.0 ms of a
    v5e in place of 5.9. A CPU would read them all again.
    """
    return by_platform(
        _selected, logits, labels + 1, cpu=_gathered, onnx=_gathered
    ).astype(jnp.float32)


def _selected(logits: jax.Array, channel: jax.Array) -> jax.Array:
    chosen = jax.nn.one_hot(channel, logits.shape[-1], dtype=bool)[..., None, None, :]
    return jnp.where(chosen, logits, 0).sum(axis=-1)  # all but one are 0


def _gathered(logits: jax.Array, channel: jax.Array) -> jax.Array:
    channel = channel[..., None, None, None]
    return jnp.take_along_axis(logits, channel, axis=-1)[..., 0]
