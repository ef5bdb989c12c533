"""The state that a training step changes."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict


class TrainState(flax.struct.PyTreeNode):
    """Everything that is saved but the position in the data."""

    step: jax.Array  # [] int32, steps done
    params: Any
    # Every other collection of variables. "batch_stats", always there: running
    # statistics, and all of a frozen norm.
    collections: dict[str, Any]
    opt_state: optax.OptState
    key: jax.Array  # the run's key: never consumed, each step folds its number in
    ema: Any  # {"params": …, collection: …}, their moving averages; or None


# A checkpoint has these names, and one for each collection: no collection may have
# one of these.
_TAKEN = ("step", "params", "opt_state", "key", "ema", "collections")


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
    collections = collections_of(dict(variables))
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        collections=collections,
        opt_state=optimizer.init(params),
        key=key,
        ema=jax.tree.map(jnp.copy, {"params": params, **collections}) if ema else None,
    )


def collections_of(variables: dict) -> dict[str, Any]:
    """Returns the collections of a model's variables but its parameters.

    Raises ValueError for one that a checkpoint has no room for.
    """
    collections = {"batch_stats": {}} | variables
    del collections["params"]
    for name in _TAKEN:
        if name in collections:
            raise ValueError(
                f"model: a collection of variables cannot be called {name!r}, "
                f"nor {', '.join(map(repr, _TAKEN))}"
            )
    return collections


def saved_items(state: TrainState) -> dict[str, Any]:
    """Returns the state as it is in a checkpoint: each collection beside the others."""
    items = {name: getattr(state, name) for name in _TAKEN if name != "collections"}
    return items | state.collections


def restored_state(items: dict[str, Any]) -> TrainState:
    """Builds the state back from the items that `saved_items` made of it."""
    named = {name: items[name] for name in _TAKEN if name != "collections"}
    rest = {name: item for name, item in items.items() if name not in named}
    return TrainState(collections=rest, **named)


def variable_items(items: dict[str, Any]) -> dict[str, Any]:
    """Returns those items of a checkpoint that hold the variables of its model.

    That is `ema` alone where the run has averages.
    """
    if items["ema"]:
        return {"ema": items["ema"]}
    hidden = set(_TAKEN) - {"params"}
    return {name: item for name, item in items.items() if name not in hidden}


def abstract_variables(model: nn.Module, canvas: tuple[int, int]) -> dict:
    """Returns the shapes of a detector's variables; computes nothing."""
    images = jax.ShapeDtypeStruct((1, *canvas, 3), jnp.uint8)
    sizes = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, sizes)
    return {"params": variables["params"], **collections_of(variables)}


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
    collections = {
        name: replaced(old, variables.get(name, {}))
        for name, old in state.collections.items()
    }
    ema = state.ema
    if ema is not None:
        ema = replaced(ema, variables)
    return state.replace(params=params, collections=collections, ema=ema)


def inference_variables(state: TrainState) -> dict:
    """Returns the variables to evaluate with: the average, if there is one."""
    if state.ema is not None:
        return state.ema
    return {"params": state.params, **state.collections}


def _placed_like(array, like: jax.Array) -> jax.Array:
    return jax.device_put(array, like.sharding, may_alias=False)
