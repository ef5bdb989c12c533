"""What a training step changes."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """Everything that is saved but the position in the data."""

    step: jax.Array  # [] int32, steps done
    params: Any
    batch_stats: Any  # running statistics, and all of a frozen norm
    opt_state: optax.OptState
    key: jax.Array  # the run's key: never consumed, each step folds its number in
    ema: Any  # average of params, or None


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
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        key=key,
        ema=jax.tree.map(jnp.copy, params) if ema else None,
    )


def with_backbone(state: TrainState, variables: dict) -> TrainState:
    """Returns the state with the backbone's variables replaced, e.g. by ImageNet's."""

    def replaced(tree, name: str):
        if tree is None or name not in variables:
            return tree
        like, new = tree["backbone"], variables[name]
        return tree | {"backbone": jax.tree.map(_placed_like, new, like)}

    return state.replace(
        params=replaced(state.params, "params"),
        batch_stats=replaced(state.batch_stats, "batch_stats"),
        ema=replaced(state.ema, "params"),
    )


def inference_variables(state: TrainState) -> dict:
    """Returns what evaluation gives `model.apply`: the average, where there is one."""
    params = state.params if state.ema is None else state.ema
    return {"params": params, "batch_stats": state.batch_stats}


def _placed_like(array, like: jax.Array) -> jax.Array:
    return jax.device_put(array, like.sharding, may_alias=False)
