"""Elementwise losses that optax does not have in the detectors' form."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def smooth_l1(
    predictions: Float[Array, "*n"], targets: Float[Array, "*n"], *, beta: int | float
) -> Float[Array, "*n"]:
    """Returns d**2 / (2 beta) where |d| < beta, else |d| - beta / 2, elementwise.

    d = predictions - targets. This is the Huber loss over beta: its slope is 1 outside
    whatever beta is, and beta = 0 is the L1 loss (Fast R-CNN, eq. 3, has beta = 1).

    Raises:
      ValueError: for a negative beta.
    """
    if beta < 0:
        raise ValueError(f"beta is {beta}, and must not be negative")
    predictions, targets = (x.astype(jnp.float32) for x in (predictions, targets))
    if beta == 0:
        difference = predictions - targets
        # Not jnp.abs: its gradient at 0 is 1, which would move a perfect prediction.
        return difference * jnp.sign(difference)
    return optax.huber_loss(predictions, targets, delta=beta) / beta
