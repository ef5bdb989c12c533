"""The mesh of devices that a program is traced for.

In a `jax.shard_map` the type of an array has the mesh axes over which it varies; on a
mesh whose axes are explicit it has how the array lies on them.
"""

import math
from collections.abc import Callable
from functools import partial, reduce, wraps
from operator import add
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Int, Shaped

Carry = TypeVar("Carry")


def varied_as(carry: Carry, *inputs: jax.Array) -> Carry:
    """Returns the first carry of a loop, with the type that the inputs give the next.

    A loop must end with the type that it began with. A constant varies over no axis,
    and what the loop makes of its inputs over theirs: so a zero made of the inputs is
    added. Elsewhere it is not: XLA makes a faster loop of a constant.
    """
    if not any(map(_is_typed, inputs)):
        return carry
    zero = reduce(add, map(_zero_of, inputs))

    def varied(x: jax.Array) -> jax.Array:
        return x | (zero > 0) if x.dtype == bool else x + zero.astype(x.dtype)

    return jax.tree.map(varied, carry)


def is_mapped(x: jax.Array) -> bool:
    """Whether an array is one inside of a `jax.shard_map`."""
    return bool(jax.typeof(x).sharding.mesh.manual_axes)


def is_divided(x: jax.Array) -> bool:
    """Whether an array lies on a mesh with explicit axes."""
    return bool(jax.typeof(x).sharding.mesh.explicit_axes)


def traced_on(mesh: Mesh | AbstractMesh, function: Callable) -> Callable:
    """Returns a function whose trace knows its devices, and who shares a batch.

    Few images of a TPU are convolved in another way: see `ops.strips`. What is traced
    under `jax.set_mesh`, in a `jax.shard_map` or by `jax.pmap` knows as much.
    """

    # Profiles show a program by its name, which a partial hides.
    @wraps(function.func if isinstance(function, partial) else function)
    def traced(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*arguments)

    return traced


def is_for_tpu(x: jax.Array) -> bool:
    """Whether an array is known, by the mesh of its trace, to be for a TPU.

    Not on a mesh of explicit axes: there it cannot be cut up as one likes.
    """
    return _kind_of_device().startswith("TPU") and not is_divided(x)


def images_per_device(x: jax.Array) -> int:
    """Returns how many rows of a batch each device has, as far as a trace can know.

    A program for a mesh whose axes divide batches by themselves says so by
    `traced_on`; without it the batch is one device's, as it is in a `jax.shard_map`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = math.prod(mesh.shape[axis] for axis in mesh.auto_axes)
    return max(len(x) // devices, 1)


def rows_of(
    table: Shaped[Array, "n ..."], index: Int[Array, " m"]
) -> Shaped[Array, "m ..."]:
    """Returns `table[index]` where, under `vmap`, all images may have the same table.

    Where explicit axes divide the images JAX gathers from none but a table for each.
    """
    if is_divided(index):
        table = varied_as(table, index)
    return table[index]


def _kind_of_device() -> str:
    """Returns the kind of the devices that a trace is for, "" if it does not know."""
    device = jax.sharding.get_abstract_mesh().abstract_device
    return "" if device is None else device.device_kind


def _is_typed(x: jax.Array) -> bool:
    """Whether the type of an array knows of a mesh."""
    return is_mapped(x) or is_divided(x)


def _zero_of(x: jax.Array) -> jax.Array:
    """Returns 0, int32, computed from an array; also from NaN, and from no element."""
    first = jnp.ravel(x)[:1]
    return jnp.sum((first != first) & (first == first), dtype=jnp.int32)
