"""The ground truth as a loss may use it, whatever its padding holds."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from fpn_jax.ops.images import is_image
from fpn_jax.types import Targets


def learnable(targets: Targets, sizes: Int[Array, "b 2"] | None = None) -> Targets:
    """Returns the targets with those objects `valid` that a network is trained on.

    Those are not padding, not crowd regions and, with `sizes`, not in an image of size
    0, which is padding of the batch. All other rows are zero, and there is one at
    least: a NaN in a row that a loss leaves out would be in all gradients, since 0
    times NaN is NaN. Numbers are float32 and int32.
    """
    valid = jnp.asarray(targets.valid) & ~jnp.asarray(targets.crowd)
    if sizes is not None:
        valid = valid & is_image(sizes)[:, None]

    def rows(x: Any, dtype: Any = jnp.float32) -> Any:
        if x is None:
            return None
        x = jnp.asarray(x)
        if dtype is not None:
            x = x.astype(dtype)
        shown = valid.reshape(valid.shape + (1,) * (x.ndim - 2))
        x = jnp.where(shown, x, jnp.zeros_like(x))
        missing = max(0, 1 - x.shape[1])
        return jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * (x.ndim - 2))

    return Targets(
        boxes=rows(targets.boxes),
        labels=rows(targets.labels, jnp.int32),
        valid=rows(valid, bool),
        crowd=rows(targets.crowd, bool),
        masks=rows(targets.masks, None),
        mask_regions=rows(targets.mask_regions),
        keypoints=rows(targets.keypoints),
    )
