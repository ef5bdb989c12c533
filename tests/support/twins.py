"""What tests against a PyTorch twin share: its weights as ours, and the contest."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()

CHANNELS = {2: 8, 3: 16, 4: 24, 5: 32}
Read = Callable[["torch.Tensor"], np.ndarray]


def pyramid(*levels: int, height: int = 64, width: int = 96) -> dict:
    """Returns random features, of sizes that round up as strided convolutions do."""
    random = np.random.default_rng(0)
    return {
        level: random.normal(
            size=(2, -(-height // 2**level), -(-width // 2**level), CHANNELS[level])
        ).astype(np.float32)
        for level in levels
    }


def conv(module: "torch.nn.Conv2d", read: Read) -> dict:
    """Returns a convolution's leaves."""
    leaves = {"kernel": read(module.weight).transpose(2, 3, 1, 0)}
    return leaves | ({} if module.bias is None else {"bias": read(module.bias)})


def norm(module: "torch.nn.BatchNorm2d", read: Read) -> dict:
    """Returns a batch norm's leaves."""
    return {"norm": {"scale": read(module.weight), "bias": read(module.bias)}}


def assert_equals_twin(
    module,
    twin,
    features: dict,
    leaves_of: Callable,
    *,
    our_loss: Callable | None = None,
    their_loss: Callable | None = None,
) -> None:
    """Compares outputs, loss, and the gradients of features and of all parameters.

    `leaves_of(twin, read)` gives our tree of parameters, read from the twin's. The twin
    gives a list of maps [B, C, H, W]: our outputs in the order of their leaves. The
    losses take what the modules give; by default they add the sines.
    """
    our_loss = our_loss or (lambda outputs: sum(map(_sines, jax.tree.leaves(outputs))))
    their_loss = their_loss or (lambda maps: sum(torch.sin(x).sum() for x in maps))
    values = leaves_of(twin, lambda tensor: tensor.detach().numpy().copy())
    shapes = jax.eval_shape(module.init, jax.random.key(0), features)
    assert jax.tree.map(jnp.shape, values) == jax.tree.map(
        lambda x: x.shape, shapes["params"]
    )
    statistics = jax.tree.map(lambda x: jnp.zeros(x.shape), dict(shapes))

    @jax.jit
    def run(params, features):
        def loss(params, features):
            outputs, _ = module.apply(
                statistics | {"params": params},
                features,
                train=True,
                mutable="batch_stats",
            )
            return our_loss(outputs), outputs

        (value, outputs), grads = jax.value_and_grad(
            loss, argnums=(0, 1), has_aux=True
        )(params, features)
        return value, outputs, *grads

    value, outputs, by_params, by_features = run(values, features)
    inputs = [to_torch(x).requires_grad_() for x in features.values()]
    theirs = twin.train()(inputs)
    expected_value = their_loss(theirs)
    expected_value.backward()
    np.testing.assert_allclose(value, expected_value.detach(), rtol=1e-4)
    for x, expected in zip(jax.tree.leaves(outputs), theirs, strict=True):
        _close(x, to_nhwc(expected))
    for x, tensor in zip(by_features.values(), inputs, strict=True):
        _close(x, to_nhwc(tensor.grad))
    wanted = leaves_of(twin, lambda tensor: tensor.grad.numpy())
    jax.tree.map(_close, by_params, wanted)


def _sines(x: jax.Array) -> jax.Array:
    return jnp.sin(x).sum()


def _close(ours, theirs) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def overlap(a, b) -> float:
    """IoU of two boxes of numbers, or of tensors of torch."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared
    return shared / area


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))
