"""The updates of Muon of one training step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.contrib import MuonDimensionNumbers
from optax.contrib import muon as optax_muon

from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.training.config import Config
from fpn_jax.training.muon import muon
from fpn_jax.training.state import abstract_variables


def muon_contest(peer: bool) -> Contest:
    """Muon of all kernels of the default job: ours and, as a peer, optax's."""
    config = Config()
    params = abstract_variables(config.model, config.data.canvas)["params"]
    random = np.random.default_rng(0)
    kernels = [
        jnp.asarray(random.normal(size=leaf.shape), jnp.float32)
        for leaf in jax.tree.leaves(params)
        if leaf.ndim > 1
    ]
    optimizers = {OURS: muon(1.0)}
    if peer:
        dimensions: Any = _matrices  # optax's annotation has no function of lists
        optimizers["optax"] = optax_muon(
            1.0, consistent_rms=0.2, muon_weight_dimension_numbers=dimensions
        )
    contestants = {
        name: _updates(optimizer, kernels) for name, optimizer in optimizers.items()
    }
    difference = None
    if peer:
        ours, theirs = (
            np.concatenate([np.ravel(kernel) for kernel in run()])
            for run in contestants.values()
        )
        difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return Contest(contestants, runs=20, difference=difference)


def _updates(
    optimizer: optax.GradientTransformation, kernels: list[jax.Array]
) -> Callable[[], list[jax.Array]]:
    """Returns a function that gives the first updates, of gradients like kernels."""
    state = optimizer.init(kernels)
    update = jax.jit(lambda *arguments: optimizer.update(*arguments)[0])
    return lambda: jax.block_until_ready(update(kernels, state, kernels))


def _matrices(kernels: list[jax.Array]) -> list[MuonDimensionNumbers]:
    """Returns as which matrix optax sees each kernel: its inputs by its outputs."""
    return [
        MuonDimensionNumbers(tuple(range(kernel.ndim - 1)), (kernel.ndim - 1,))
        for kernel in kernels
    ]
