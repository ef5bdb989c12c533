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


def with_backbone(state: TrainState, variables: dict) -> TrainState:
    """Returns the state with the backbone's variables replaced, e.g. by ImageNet's."""

    def replaced(tree: dict, name: str) -> dict:
        if name not in variables:
            return tree
        new = jax.tree.map(_placed_like, variables[name], tree["backbone"])
        return tree | {"backbone": new}

    ema = state.ema
    if ema is not None:
        ema = {name: replaced(tree, name) for name, tree in ema.items()}
    return state.replace(
        params=replaced(state.params, "params"),
        batch_stats=replaced(state.batch_stats, "batch_stats"),
        ema=ema,
    )


def inference_variables(state: TrainState) -> dict:
    """Returns what evaluation gives `model.apply`: the average, where there is one."""
    if state.ema is not None:
        return state.ema
    return {"params": state.params, "batch_stats": state.batch_stats}


def _placed_like(array, like: jax.Array) -> jax.Array:
    return jax.device_put(array, like.sharding, may_alias=False)
