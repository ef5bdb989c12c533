"""What a training step changes."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict


@flax.struct.dataclass
class TrainState:
    """Everything that is saved but the position in the data."""

    step: jax.Array  # [] int32, steps done
    params: Any
    batch_stats: Any  # running statistics, and all of a frozen norm
    opt_state: optax.OptState
    key: jax.Array  # the run's key: never consumed, each step folds its number in
    ema: Any  # {"params", "batch_stats"}: their moving averages; or None


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    canvas: tuple[int, int],
    seed: int,
    ema: bool,
) -> TrainState:
    """Returns the state before the first step, from random weights."""
    init_key, key = jax.random.split(jax.random.key(seed))
    images = jnp.zeros((1, *canvas, 3), jnp.uint8)
    variables = model.init(init_key, images, jnp.array([canvas], jnp.int32))
    params = variables["params"]
    batch_stats = variables.get("batch_stats", {})
    average = {"params": params, "batch_stats": batch_stats}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        key=key,
        ema=jax.tree.map(jnp.copy, average) if ema else None,
    )


def abstract_variables(model: nn.Module, canvas: tuple[int, int]) -> dict:
    """Returns the shapes of a detector's variables; computes nothing."""
    images = jax.ShapeDtypeStruct((1, *canvas, 3), jnp.uint8)
    sizes = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, sizes)
    return {"params": variables["params"], "batch_stats": {}} | variables


def with_variables(state: TrainState, variables: dict) -> TrainState:
    """Returns the state with those variables replaced that `variables` has.

    That is a tree like the state's, or a part of it: a backbone of ImageNet, or a
    detector but for its class layers.
    """

    def replaced(old: dict, new: dict) -> dict:
        old, new = flatten_dict(old), flatten_dict(new)
        return unflatten_dict(
            {
                path: _placed_like(new[path], leaf) if path in new else leaf
                for path, leaf in old.items()
            }
        )

    params = replaced(state.params, variables.get("params", {}))
    batch_stats = replaced(state.batch_stats, variables.get("batch_stats", {}))
    ema = state.ema
    if ema is not None:
        ema = replaced(ema, variables)
    return state.replace(params=params, batch_stats=batch_stats, ema=ema)


def inference_variables(state: TrainState) -> dict:
    """Returns what evaluation gives `model.apply`: the average, where there is one."""
    if state.ema is not None:
        return state.ema
    return {"params": state.params, "batch_stats": state.batch_stats}


def _placed_like(array, like: jax.Array) -> jax.Array:
    return jax.device_put(array, like.sharding, may_alias=False)
