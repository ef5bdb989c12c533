"""The training step, one pure function, and its two compilers: jit and pmap."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import DenyList
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fpn_jax.compilation import compile_first
from fpn_jax.detectors.contract import facts
from fpn_jax.ops.meshes import traced_on
from fpn_jax.training.state import TrainState
from fpn_jax.types import targets_of

AXIS = "data"

# Parts of a batch that training has no use for: they stay on the host.
_HOST = ("image_ids", "example_valid", "image_sizes")


def train_step(
    state: TrainState,
    batch: dict[str, jax.Array],
    *,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    ema_decay: float | None = None,
    accumulate: int = 1,
    skip: bool = False,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Returns the state after one step on `batch`, the losses and gradient norm.

    With `skip` a step whose loss or gradient is not finite changes nothing but the
    number of the step; the optimizer's schedule waits, one update behind from then on.

    Under pmap `axis_name` is its axis: totals, counts and gradients are summed over it,
    and other variables than parameters averaged. Under jit the batch is the global one
    and nothing is left to sum. Each image draws from a key of its number in the global
    batch, so all compilers agree. Only what a module of the user's draws by `make_rng`
    (dropout) is of the whole batch under jit, and of a device's part under pmap.
    """
    keys, module_key = _keys(state, len(batch["images"]), axis_name)
    over_devices = (
        _identity if axis_name is None else partial(jax.lax.psum, axis_name=axis_name)
    )

    def loss(params):
        terms, updated = model.apply(
            {"params": params, **state.collections},
            batch["images"],
            batch["sizes"],
            targets_of(batch),
            keys=keys,
            train=True,
            method="loss",
            rngs={"params": module_key},
            mutable=DenyList("params"),
        )
        collections = {name: updated.get(name, {}) for name in state.collections}
        losses = {
            name: term.total / jnp.maximum(over_devices(term.count), 1.0)
            for name, term in terms.items()
        }
        return sum(losses.values()), (losses, collections)

    gradients, (losses, collections) = jax.grad(loss, has_aux=True)(state.params)
    gradients, losses = over_devices((gradients, losses))
    gradient_norm = optax.tree.norm(gradients)
    # Every update waits for all gradients. Then no kernel is needed any more, and each
    # is overwritten in place; else XLA copies those (120 MB of a ResNet-50 detector)
    # that an update could reach before the gradient of an earlier layer has read them.
    complete = jnp.isfinite(gradient_norm)
    gradients = jax.tree.map(lambda x: jnp.where(complete, x, jnp.nan), gradients)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    new_state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        collections=_settled(collections, state, model, axis_name),
        opt_state=opt_state,
    )
    if ema_decay is not None and state.ema is not None:
        new_state = new_state.replace(ema=_average(new_state, ema_decay, accumulate))
    if skip:
        finite = jnp.isfinite(sum(losses.values())) & complete
        new_state = _chosen(finite, new_state, state)
    terms = {f"loss/{name}": value for name, value in losses.items()}
    return new_state, {
        **terms,
        "loss": jnp.asarray(sum(losses.values())),
        "gradient_norm": gradient_norm,
    }


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns devices, by default all, on one axis, over which a batch is split."""
    number = jax.device_count() if devices is None else len(devices)
    auto = (AxisType.Auto,)
    return jax.make_mesh((number,), (AXIS,), axis_types=auto, devices=devices)


def shardings(mesh: Mesh) -> tuple[NamedSharding, NamedSharding]:
    """Returns the two shardings in use: a copy on each device, and a split batch."""
    return (
        NamedSharding(mesh, PartitionSpec()),
        NamedSharding(mesh, PartitionSpec(AXIS)),
    )


def in_a_row(step: Callable) -> Callable:
    """Returns `steps(state, batches)`: a step on each of stacked batches.

    The numbers of the steps come stacked as well.
    """

    def steps(state: TrainState, batches: dict[str, jax.Array], **options: Any):
        return jax.lax.scan(partial(step, **options), state, batches)

    return steps


def jitted(step: Callable, mesh: Mesh, *, stacked: bool = False, **options: Any) -> Any:
    """Returns `step(state, batch)` under jit over a mesh, of a global batch.

    The batches of several steps are stacked before the images. `options` are more of
    jit's.
    """
    copied, split = shardings(mesh)
    if stacked:
        split = _stacked(mesh)
    return jax.jit(
        traced_on(mesh, step),
        in_shardings=(copied, split),
        out_shardings=(copied, copied),
        donate_argnums=0,
        **options,
    )


def jit_step(step: Callable, mesh: Mesh, **options: Any) -> Callable:
    """Compiles `jitted` before its first call; takes this process's part of a batch."""
    compiled = compile_first(jitted(step, mesh, **options))
    _, split = shardings(mesh)
    return lambda state, local: compiled(state, to_devices(inputs_of(local), split))


def jit_steps(step: Callable, mesh: Mesh, **options: Any) -> Callable:
    """Compiles `jitted` steps in a row; takes this process's parts of batches."""
    compiled = compile_first(jitted(in_a_row(step), mesh, stacked=True, **options))
    split = _stacked(mesh)
    return lambda state, batches: compiled(state, to_devices(_stack(batches), split))


def pmapped(step: Callable, devices: Sequence[Any] | None = None) -> Any:
    """Returns `step(state, batch)` under pmap, of a batch with an axis of devices."""
    return jax.pmap(
        partial(step, axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, 0),
        out_axes=(None, None),
        donate_argnums=0,
        devices=devices,
    )


def pmap_step(step: Callable) -> Callable:
    """Compiles `pmapped` at its first call; takes this process's part of a batch."""
    compiled = pmapped(step)
    devices = jax.local_device_count()

    def per_device(array: np.ndarray) -> np.ndarray:
        return array.reshape(devices, -1, *array.shape[1:])

    return lambda state, local: compiled(
        state, jax.tree.map(per_device, inputs_of(local))
    )


def pmap_steps(step: Callable) -> Callable:
    """Compiles `pmapped` steps in a row; takes this process's parts of batches."""
    compiled = pmapped(in_a_row(step))
    devices = jax.local_device_count()

    def per_device(array: np.ndarray) -> np.ndarray:
        count, _, *shape = array.shape
        return array.reshape(count, devices, -1, *shape).swapaxes(0, 1)

    return lambda state, batches: compiled(
        state, jax.tree.map(per_device, _stack(batches))
    )


def to_devices(local: dict, sharding: NamedSharding) -> dict[str, jax.Array]:
    """Returns the global batch; `local` is this process's part of it."""
    return {
        name: jax.make_array_from_process_local_data(sharding, array)
        for name, array in local.items()
    }


def _keys(
    state: TrainState, batch_size: int, axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
    """Returns the keys of a step: [B], of the images, and one of the modules."""
    device = 0 if axis_name is None else jax.lax.axis_index(axis_name)
    step_key = jax.random.fold_in(state.key, state.step)
    keys = jax.vmap(partial(jax.random.fold_in, step_key))(
        device * batch_size + jnp.arange(batch_size)
    )
    # No image has this number; any stream of `make_rng` is made of "params".
    module_key = jax.random.fold_in(step_key, 2**32 - 1)
    if axis_name is not None:
        module_key = jax.random.fold_in(module_key, device)
    return keys, module_key


def _settled(
    collections: dict, state: TrainState, model: nn.Module, axis_name: str | None
) -> dict:
    """Returns the collections that a step ends with: of all devices, frozen ones kept.

    Frozen parts of ours do not change theirs anyway; a user's are given `train`, too.
    """
    if axis_name is not None:
        collections = jax.tree.map(partial(_agreed, axis_name=axis_name), collections)
    frozen = tuple(f"{part}/" for part in facts(model).frozen)
    if not frozen:
        return collections

    def chosen(path: tuple, new: jax.Array, old: jax.Array) -> jax.Array:
        _, *names = path  # the first is the collection's
        name = jax.tree_util.keystr(tuple(names), simple=True, separator="/")
        return old if f"{name}/".startswith(frozen) else new

    return jax.tree.map_with_path(chosen, collections, state.collections)


def _agreed(new: jax.Array, *, axis_name: str) -> jax.Array:
    """Returns the mean over the devices of a variable that each has changed.

    What they agree on keeps its bits, as a mean of equal numbers may not.
    """
    if not jnp.issubdtype(new.dtype, jnp.floating):
        return new  # a counter has no mean
    low, high = jax.lax.pmin(new, axis_name), jax.lax.pmax(new, axis_name)
    return jnp.where(low == high, low, jax.lax.pmean(new, axis_name))


def _average(state: TrainState, ema_decay: float, accumulate: int) -> dict:
    """Returns the moving average after an update; between updates it stays.

    It follows faster at first, by (t + 1) / (t + 10). Written so that what does not
    move (frozen stages) keeps its bits.
    """
    updates = state.step // accumulate
    decay = jnp.minimum(ema_decay, (updates + 1) / (updates + 10))
    weight = jnp.where(state.step % accumulate == 0, 1 - decay, 0.0)

    def averaged(old: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new  # a counter has no mean
        return old + (weight * (new - old)).astype(new.dtype)

    new = {"params": state.params, **state.collections}
    return jax.tree.map(averaged, state.ema, new)


def _chosen(new: jax.Array, new_state: TrainState, state: TrainState) -> TrainState:
    """Returns the new state, or the old one after as many steps."""
    parts = {
        name: jax.tree.map(
            partial(jnp.where, new), getattr(new_state, name), getattr(state, name)
        )
        for name in ("params", "collections", "opt_state", "ema")
    }
    return new_state.replace(**parts)


def inputs_of(batch: dict) -> dict:
    return {name: array for name, array in batch.items() if name not in _HOST}


def _stack(batches: Sequence[dict]) -> dict[str, np.ndarray]:
    rows = [inputs_of(batch) for batch in batches]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _stacked(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of stacked batches, each split."""
    return NamedSharding(mesh, PartitionSpec(None, AXIS))


def _identity(tree):
    return tree
