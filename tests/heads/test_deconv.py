from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.heads.deconv import Deconv, convolve_transposed
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()


def test_a_pixel_spreads_its_kernel_by_hand():
    # A row of two pixels 1 and 10, and a kernel whose rows are all 1 2 3 4: patches
    # start at columns -1 and 1, and the outer ones are cut off.
    kernel = jnp.broadcast_to(jnp.arange(1.0, 5.0)[None, :, None, None], (4, 4, 1, 1))
    x = jnp.array([1.0, 10.0]).reshape(1, 1, 2, 1)
    output = convolve_transposed(x, kernel)[0, :, :, 0]
    np.testing.assert_array_equal(output, [[2, 3 + 10, 4 + 20, 30]] * 2)


@pytest.mark.parametrize("kernel_size", [2, 4, 6])
def test_values_and_gradients_equal_torchs(kernel_size):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 7, 6)).astype(np.float32)
    weights = random.normal(size=(2, 10, 14, 3)).astype(np.float32)
    padding = kernel_size // 2 - 1
    theirs = torch.nn.ConvTranspose2d(6, 3, kernel_size, stride=2, padding=padding)
    their_x = to_torch(x).requires_grad_()
    their_y = theirs(their_x)
    (their_y * to_torch(weights)).sum().backward()

    params = {
        "kernel": theirs.weight.detach().numpy().transpose(2, 3, 1, 0),
        "bias": theirs.bias.detach().numpy(),
    }
    deconv = Deconv(3, kernel_size)

    @jax.jit
    def ours(params, x):
        y, pull = jax.vjp(lambda p, x: deconv.apply({"params": p}, x), params, x)
        return y, *pull(jnp.asarray(weights))

    y, gradients, x_gradient = ours(params, x)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-5)
    close(y, to_nhwc(their_y))
    close(x_gradient, to_nhwc(their_x.grad))
    close(gradients["kernel"], theirs.weight.grad.numpy().transpose(2, 3, 1, 0))
    close(gradients["bias"], theirs.bias.grad.numpy(), rtol=1e-4)


def test_the_kernel_starts_with_the_spread_of_torchvisions():
    # Kaiming-normal, and torch's fan of the "output" is that of the input here.
    x = jnp.zeros((1, 2, 2, 64))
    kernel = jax.jit(Deconv(32).init)(jax.random.key(0), x)["params"]["kernel"]
    theirs = torch.empty(64, 32, 2, 2)
    torch.nn.init.kaiming_normal_(theirs, mode="fan_out", nonlinearity="relu")
    # 8192 numbers: their spread is known to about 1 %.
    assert abs(float(kernel.std()) / float(theirs.std()) - 1) < 0.05


def test_an_odd_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be even, got 3"):
        convolve_transposed(jnp.zeros((1, 2, 2, 1)), jnp.zeros((3, 3, 1, 1)))
