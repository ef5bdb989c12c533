from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fpn_jax.ops.losses import focal, smooth_l1
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()


def test_smooth_l1_by_hand():
    # Quadratic inside beta = 2: 1 / (2 * 2); linear outside: 3 - 2 / 2.
    loss = smooth_l1(jnp.array([0.0, 1, -1, 3, -3]), jnp.zeros(5), beta=2)
    np.testing.assert_allclose(loss, [0, 0.25, 0.25, 2, 2])


def test_smooth_l1_with_beta_zero_is_the_l1_loss():
    loss = smooth_l1(jnp.array([[0.5, -2.0]]), jnp.array([[0.0, 1.0]]), beta=0)
    np.testing.assert_array_equal(loss, [[0.5, 3.0]])


@pytest.mark.parametrize("beta", [0.0, 1 / 9, 1.0])
def test_smooth_l1_and_its_gradient_equal_torchs(beta):
    rng = np.random.default_rng(0)
    predictions, targets = rng.normal(size=(2, 200)).astype(np.float32)
    predictions[0] = targets[0]  # the gradient of L1 at 0 is 0
    tensor = torch.tensor(predictions, requires_grad=True)
    theirs = torch.nn.functional.smooth_l1_loss(
        tensor, torch.tensor(targets), beta=beta, reduction="none"
    )
    theirs.sum().backward()
    arrays = jnp.array(predictions), jnp.array(targets)
    ours = smooth_l1(*arrays, beta=beta)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-6, atol=1e-7)
    gradient = jax.grad(lambda p, t: smooth_l1(p, t, beta=beta).sum())(*arrays)
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-6, atol=1e-7)


def test_smooth_l1_is_float32_for_bfloat16_predictions():
    loss = smooth_l1(jnp.ones(3, jnp.bfloat16), jnp.full(3, 1 / 3), beta=1.0)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, 2 / 9, rtol=1e-6)


def test_negative_beta_is_refused():
    with pytest.raises(ValueError, match="beta is -1"):
        smooth_l1(jnp.zeros(1), jnp.zeros(1), beta=-1)


def test_focal_by_hand():
    # p_t is 1/2 at a logit of 0: (1/2)**2 log 2, by 1/4 or 3/4.
    loss = focal(jnp.zeros(2), jnp.array([True, False]), alpha=0.25, gamma=2)
    np.testing.assert_allclose(loss, np.log(2) / 4 * np.array([0.25, 0.75]), rtol=1e-6)


def test_focal_with_gamma_zero_is_the_weighted_cross_entropy():
    logits, positive = jnp.array([2.0, -3, 0.5]), jnp.array([True, False, False])
    entropy = optax.sigmoid_binary_cross_entropy(logits, positive.astype(jnp.float32))
    loss = focal(logits, positive, alpha=0.5, gamma=0)
    np.testing.assert_allclose(loss, entropy / 2, rtol=1e-6)


@pytest.mark.parametrize("gamma", [2, 1.5, 0.5, 0.0])
def test_focal_and_its_gradient_equal_torchvisions(gamma):
    rng = np.random.default_rng(0)
    logits = 4 * rng.normal(size=(50, 7)).astype(np.float32)
    positive = rng.random((50, 7)) < 0.3
    tensor = torch.tensor(logits, requires_grad=True)
    theirs = torchvision.ops.sigmoid_focal_loss(
        tensor, torch.tensor(positive).float(), gamma=gamma
    )
    theirs.sum().backward()

    def ours(logits):
        return focal(logits, jnp.array(positive), alpha=0.25, gamma=gamma)

    # Torch takes 1 - (1 - p), which has an absolute error of 6e-8.
    close = {"rtol": 1e-5, "atol": 1e-6}
    wanted = theirs.detach().numpy()
    np.testing.assert_allclose(ours(jnp.array(logits)), wanted, **close)
    gradient = jax.grad(lambda x: ours(x).sum())(jnp.array(logits))
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), **close)


def test_focal_and_its_gradient_are_finite_for_large_logits():
    logits = jnp.array([1e4, -1e4, 1e4, -1e4])
    positive = jnp.array([True, True, False, False])
    loss = partial(focal, positive=positive, alpha=0.25, gamma=2.0)
    np.testing.assert_allclose(loss(logits), [0, 2500, 7500, 0], rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda x: loss(x).sum())(logits), [0, -0.25, 0.75, 0], rtol=1e-6
    )


@pytest.mark.parametrize("gamma", [0, 0.0, 0.5, 1.0])
def test_low_powers_of_focal_have_a_finite_gradient_for_large_logits(gamma):
    # Where p_t is 1 the weight's slope counts nothing, and where it is 0 the weight is
    # 1: the gradient is alpha_t (p - y).
    logits = jnp.array([200.0, -200, 200, -200])
    positive = jnp.array([True, True, False, False])
    gradient = jax.grad(lambda x: focal(x, positive, alpha=0.25, gamma=gamma).sum())(
        logits
    )
    np.testing.assert_allclose(gradient, [0, -0.25, 0.75, 0], atol=1e-6)
