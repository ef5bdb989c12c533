"""The keypoint head of a two-stage detector (Mask R-CNN, section 5).

Features cut out of the level that suits a box give every keypoint a heat map over the
box, in which it is one cell: a classification of where it is.
"""

import dataclasses
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from fpn_jax.heads.box import RoISamples
from fpn_jax.heads.deconv import Deconv
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.layers import Conv, Dtype
from fpn_jax.ops.keypoints import decode_keypoints, keypoint_targets
from fpn_jax.ops.meshes import is_divided
from fpn_jax.ops.objects import learnable
from fpn_jax.types import Detections, LossTerm, Pyramid, Targets


class KeypointHead(nn.Module):
    """Heat maps of boxes; their loss; the keypoints at their peaks.

    Eight convolutions, a transposed one that doubles the side, and a bilinear
    upsampling that doubles it again.
    """

    num_keypoints: int = 17  # Number of keypoints of an object; COCO's persons have 17.
    # How the features of a box are cut out; a heat map has four times the cells along a
    # side.
    pool: RoIPool = RoIPool(size=14)
    num_convs: int = 8  # Number of 3x3 convolutions before the upsampling.
    channels: int = 512  # Channels of each convolution.
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
        """Returns heat maps [B, R, 4 S, 4 S, P] of `boxes [B, R, 4]`, float32.

        They are logits, S the size of the pool. There is no norm, so that `valid` and
        `train` change nothing.
        """
        x = self.pool(pyramid, boxes, canvas=canvas)
        for i in range(self.num_convs):
            x = nn.relu(Conv(self.channels, dtype=self.dtype, name=f"conv{i}")(x))
        x = Deconv(self.num_keypoints, 4, dtype=self.dtype, name="deconv")(x)
        side = 4 * self.pool.size
        shape = (x.shape[0], side, side, self.num_keypoints)
        x = jax.image.resize(x.astype(jnp.float32), shape, "bilinear", antialias=False)
        return x.reshape(*boxes.shape[:2], *shape[1:])

    def loss(
        self, outputs: jax.Array, samples: RoISamples, targets: Targets
    ) -> dict[str, LossTerm]:
        """Returns `keypoint`: the mean over the keypoints that count.

        Softmax cross-entropy over the cells of the box, for every annotated keypoint of
        a positive sample's object inside the sample's box. Others do not count.

        Raises:
          ValueError: for targets without keypoints, or with another number of them.
        """
        if targets.keypoints is None or targets.keypoints.shape[2] != outputs.shape[4]:
            shape = None if targets.keypoints is None else targets.keypoints.shape
            raise ValueError(
                "targets.keypoints must be [B, G, P, 3] with the P = "
                f"{outputs.shape[4]} keypoints of the head, got {shape}"
            )
        targets = learnable(targets)
        batch, rois, side, _, points = outputs.shape
        given = cast(jax.Array, targets.keypoints)
        keypoints = jnp.take_along_axis(given, samples.index[..., None, None], axis=1)
        cells, counts = jax.vmap(
            lambda keypoints, boxes: keypoint_targets(keypoints, boxes, size=side)
        )(keypoints, samples.boxes)
        counts = counts & (samples.positive & samples.valid)[..., None]
        logits = outputs.astype(jnp.float32).reshape(batch, rois, -1, points)
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(
            logits, cells, axis=2
        )
        total = jnp.sum(cross_entropy, where=counts)
        return {"keypoint": LossTerm(total, jnp.sum(counts, dtype=jnp.float32))}

    def detections(
        self, outputs: jax.Array, found: Detections, sizes: jax.Array
    ) -> Detections:
        """Returns the detections with the keypoints of each and their scores."""
        del sizes  # keypoints lie in their boxes
        keypoints, scores = self.keypoints(outputs, found.boxes)
        return dataclasses.replace(found, keypoints=keypoints, keypoint_scores=scores)

    def keypoints(
        self, heatmaps: jax.Array, boxes: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Returns (x, y) pixels [B, D, P, 2] of the peaks and their logits [B, D, P].

        `boxes [B, D, 4]` are those the heat maps are of. See `decode_keypoints`.
        """
        if is_divided(heatmaps):  # then no loop may look at all images at once
            return jax.vmap(decode_keypoints)(heatmaps, boxes)
        xy, scores = decode_keypoints(
            heatmaps.reshape(-1, *heatmaps.shape[2:]), boxes.reshape(-1, 4)
        )
        batch = boxes.shape[:2]
        return xy.reshape(*batch, -1, 2), scores.reshape(*batch, -1)
