from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fpn_jax.ops.meshes import rows_of, varied_as


def mesh_of(axis_type):
    devices = jax.devices()[:2]
    return jax.make_mesh((2,), ("data",), axis_types=(axis_type,), devices=devices)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_a_carry_keeps_its_values(value):
    carry = jnp.arange(3), jnp.array([True, False]), jnp.ones(2)
    specs = {"in_specs": PartitionSpec("data"), "out_specs": PartitionSpec("data")}
    mapped = partial(jax.shard_map, mesh=mesh_of(AxisType.Auto), **specs)
    varied = jax.jit(mapped(lambda x: varied_as(carry, x, jnp.zeros(0))))(
        jnp.full((2, 2), value)
    )
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), carry)
    jax.tree.map(np.testing.assert_array_equal, varied, twice)


def test_a_loop_in_a_shard_map_may_start_from_a_constant():
    @jax.jit
    @partial(
        jax.shard_map,
        mesh=mesh_of(AxisType.Auto),
        in_specs=PartitionSpec("data"),
        out_specs=PartitionSpec("data"),
    )
    def total(x):
        start = varied_as(jnp.zeros(1), x)
        return jax.lax.fori_loop(0, len(x), lambda i, sum: sum + x[i], start)

    np.testing.assert_array_equal(total(jnp.arange(6.0)), [3, 12])


def test_divided_images_may_have_one_table():
    table, index = jnp.arange(8.0).reshape(4, 2), jnp.array([[3, 0], [1, 1]])
    sharding = NamedSharding(mesh_of(AxisType.Explicit), PartitionSpec("data"))
    rows = jax.jit(jax.vmap(partial(rows_of, table)))(jax.device_put(index, sharding))
    np.testing.assert_array_equal(rows, np.asarray(table)[np.asarray(index)])
