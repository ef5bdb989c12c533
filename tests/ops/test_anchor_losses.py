"""The class loss of anchors in both formulations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.ops.anchor_losses import loss_by_anchors, loss_by_channels


def test_formulations_of_the_class_loss_give_the_same():
    rng = np.random.default_rng(0)
    logits = jnp.array(rng.normal(size=(4, 5, 3 * 7)), jnp.float32)
    wanted = jnp.array(rng.integers(-2, 7, 4 * 5 * 3), jnp.float32)
    options = {"num_classes": 7, "alpha": 0.25, "gamma": 2.0}
    results = [
        jax.value_and_grad(partial(loss, **options))(logits, wanted)
        for loss in (loss_by_anchors, loss_by_channels)
    ]
    # Sums of 420 terms in another order.
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-6)


def test_channels_know_classes_that_bfloat16_does_not():
    # 257 is 256 in bfloat16: the anchor would want the class before its own.
    logits = jnp.full((1, 1, 300), -20.0).at[0, 0, 257].set(20.0)
    options = {"num_classes": 300, "alpha": 0.25, "gamma": 2.0}
    loss = jax.jit(partial(loss_by_channels, **options))(logits, jnp.array([257.0]))
    assert loss < 1e-6
