"""A backbone of a user's: own statistics, dropout, and a function for a field."""

from collections.abc import Callable
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

# Whoever imports this leaves a trace.
Path(__file__).with_name("imported").touch()


class CenteredBackbone(nn.Module):
    """Levels 2 and 3, less their running mean, half of their channels dropped."""

    width: int = 4
    rate: float = 0.5
    activation: Callable = nn.relu

    @nn.compact
    def __call__(self, images, *, train=False):
        conv = nn.Conv(self.width, (4, 4), strides=4, name="stem")
        x = self._centered(self.activation(conv(images)), train)
        x = nn.Dropout(self.rate, deterministic=not train)(x)
        top = nn.Conv(self.width, (2, 2), strides=2, name="top")(x)
        return {2: x, 3: top}

    def _centered(self, x, train):
        mean = self.variable("running", "mean", jnp.zeros, (self.width,))
        count = self.variable("running", "count", jnp.zeros, (), jnp.int32)
        if train:
            batch_mean = jax.lax.stop_gradient(x.mean(axis=(0, 1, 2)))
            mean.value = 0.9 * mean.value + 0.1 * batch_mean
            count.value += 1
            self.sow("intermediates", "before", x)
        return x - mean.value[None, None, None]
