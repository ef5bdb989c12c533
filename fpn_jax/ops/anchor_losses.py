"""The class loss of a level's anchors, whose classes lie side by side."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fpn_jax.ops.anchors import anchor_rows
from fpn_jax.ops.losses import focal
from fpn_jax.ops.platforms import by_platform

IGNORED = -2.0
"""Class label of an anchor that does not count."""


def focal_of_anchors(
    logits: Float[Array, "h w ak"],
    wanted: Float[Array, " hwa"],
    *,
    num_classes: int,
    alpha: float,
    gamma: float,
) -> Float[Array, ""]:
    """Returns the sum of the focal losses of a level's anchors and classes.

    `wanted` is the class of each anchor, -1 for none, `IGNORED` where it does not
    count.
    """
    options = {"num_classes": num_classes, "alpha": alpha, "gamma": gamma}
    return by_platform(
        partial(loss_by_channels, **options),
        logits,
        wanted,
        cpu=partial(loss_by_anchors, **options),
    )


def loss_by_anchors(
    logits: Float[Array, "h w ak"],
    wanted: Float[Array, " hwa"],
    *,
    num_classes: int,
    alpha: float,
    gamma: float,
) -> Float[Array, ""]:
    """Returns the loss from a row for each anchor: for a CPU."""
    classes = jnp.arange(num_classes, dtype=jnp.float32)
    loss = focal(
        anchor_rows(logits, num_classes),
        wanted[:, None] == classes[None],
        alpha=alpha,
        gamma=gamma,
    )
    return jnp.sum(loss, where=(wanted != IGNORED)[:, None])


def loss_by_channels(
    logits: Float[Array, "h w ak"],
    wanted: Float[Array, " hwa"],
    *,
    num_classes: int,
    alpha: float,
    gamma: float,
) -> Float[Array, ""]:
    """Returns the same from the logits as they are: for a TPU.

    There a row for each anchor is a copy of all logits into another layout, and one
    back for the gradient. Here a product with ones tells every channel the class that
    its anchor wants.
    """
    height, width, channels = logits.shape
    num_anchors = channels // num_classes
    anchor, label = np.divmod(np.arange(channels), num_classes)
    of_channel = (np.arange(num_anchors)[:, None] == anchor).astype(np.float32)
    wanted = jnp.einsum(
        "hwa,ac->hwc",
        wanted.reshape(height, width, num_anchors),
        jnp.asarray(of_channel),
        precision="highest",  # bfloat16 has no class above 256
    )
    label = jnp.asarray(label, jnp.float32)
    loss = focal(logits, wanted == label[None, None], alpha=alpha, gamma=gamma)
    return jnp.sum(loss, where=wanted != IGNORED)
