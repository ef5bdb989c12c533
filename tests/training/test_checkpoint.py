"""Checkpoints: complete ones only, the latest and the best."""

import json
import math
import time
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from fpn_jax.training.checkpoint import CheckpointError, Checkpoints
from fpn_jax.training.state import TrainState, collections_of
from fpn_jax.training.step import data_mesh, shardings


def state_at(step: int) -> TrainState:
    params = {"conv": {"kernel": jnp.full((2, 3), float(step))}}
    state = TrainState(
        step=jnp.int32(step),
        params=params,
        collections={"batch_stats": {}},
        opt_state=optax.adam(1e-3).init(params),
        key=jax.random.key(step),
        ema=None,
    )
    return jax.device_put(state, shardings(data_mesh())[0])


def save_runs(run, metrics: dict[int, float], **options) -> Checkpoints:
    checkpoints = Checkpoints(run, best="AR@100", writes=True, **options)
    for step, value in metrics.items():
        checkpoints.save(state_at(step), {"next_batch": step}, {"AR@100": value})
    checkpoints.wait()
    return checkpoints


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    checkpoints = save_runs(tmp_path, {5: 0.5})
    state, position = checkpoints.restore(state_at(0), 5)
    assert position == {"next_batch": 5}
    same = jax.tree.map(
        lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()),
        state.replace(key=jax.random.key_data(state.key)),
        state_at(5).replace(key=jax.random.key_data(jax.random.key(5))),
    )
    assert all(jax.tree.leaves(same))


def test_the_latest_and_the_best_are_kept(tmp_path):
    checkpoints = save_runs(tmp_path, {1: 0.1, 2: 0.9, 3: 0.2, 4: 0.3}, keep=1)
    assert (checkpoints.latest_step, checkpoints.best_step) == (4, 2)
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"2", "4", "best"}
    assert (tmp_path / "checkpoints" / "best").readlink().name == "2"


def test_the_lowest_loss_is_the_best_and_what_does_not_exist_the_worst(tmp_path):
    checkpoints = Checkpoints(tmp_path, best="loss", keep=1, writes=True)
    for step, loss in ((1, 0.5), (2, 0.1), (3, math.nan), (4, 0.3)):
        checkpoints.save(state_at(step), None, {"loss": loss})
    checkpoints.wait()
    assert (checkpoints.best_step, checkpoints.steps) == (2, [2, 4])


def test_a_reader_leaves_the_save_under_way_alone(tmp_path):
    save_runs(tmp_path, {1: 0.5}).close()
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    unfinished.mkdir()
    assert Checkpoints(tmp_path, best="AR@100").steps == [1]
    assert unfinished.exists()
    trainer = Checkpoints(tmp_path, best="AR@100", writes=True)
    deadline = time.monotonic() + 30
    while unfinished.exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # Orbax removes it in a thread
    assert not unfinished.exists()
    assert trainer.steps == [1]


def test_a_run_without_checkpoints_has_no_steps(tmp_path):
    checkpoints = Checkpoints(tmp_path, best="AR@100")
    assert checkpoints.latest_step is None
    assert checkpoints.best_step is None


def test_a_checkpoint_for_another_number_of_devices_fits(tmp_path):
    checkpoints = save_runs(tmp_path, {1: 0.5})
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    state, _ = checkpoints.restore(jax.device_put(state_at(0), one), 1)
    assert state.params["conv"]["kernel"].sharding == one


def test_a_damaged_checkpoint_is_named_in_one_line(tmp_path):
    save_runs(tmp_path, {7: 0.5}).close()
    damaged = 0
    for path in (tmp_path / "checkpoints" / "7" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            damaged += 1
    assert damaged
    checkpoints = Checkpoints(tmp_path, best="AR@100")
    with pytest.raises(CheckpointError, match="checkpoint 7 not readable") as error:
        checkpoints.restore(state_at(0), 7)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    checkpoints = save_runs(tmp_path, {1: 0.5})
    like = state_at(0)
    like.params["conv"]["kernel"] = jnp.zeros((4, 4))
    with pytest.raises(
        CheckpointError, match="params/conv/kernel: 2x3 .*, 4x4 in this run$"
    ):
        checkpoints.restore(like, 1)


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (
            {"kernel": jnp.zeros((2, 4))},
            "kernel: 2x3 in the checkpoint, 2x4 in this run",
        ),
        ({}, "kernel: 2x3 in the checkpoint, none in this run"),
        ({"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}, "bias: none in the"),
    ],
)
def test_weights_of_a_model_that_has_changed_since_are_refused(tmp_path, like, said):
    checkpoints = save_runs(tmp_path, {1: 0.5})
    like = jax.device_put({"params": {"conv": like}}, shardings(data_mesh())[0])
    with pytest.raises(CheckpointError, match=f"1 of its arrays .* params/conv/{said}"):
        checkpoints.restore_variables(like, 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"ema": {"conv": jnp.zeros(2)}},
            "1 of its arrays .* ema/conv: none in .*, 2 in this run",
        ),
        ({"opt_state": ()}, "3 of its arrays .* opt_state/0/count: a number"),
    ],
)
def test_a_checkpoint_with_other_arrays_is_not_called_unreadable(
    tmp_path, changes, named
):
    checkpoints = save_runs(tmp_path, {1: 0.5})
    with pytest.raises(CheckpointError, match=f"of another model or other .*: {named}"):
        checkpoints.restore(state_at(0).replace(**changes), 1)


def test_a_run_of_another_random_generator_names_both(tmp_path):
    checkpoints = save_runs(tmp_path, {1: 0.5})
    with jax.default_prng_impl("rbg"):
        like = state_at(0)
        with pytest.raises(ValueError, match="PRNG_IMPL threefry2x32, got rbg$"):
            checkpoints.restore(like, 1)


@flax.struct.dataclass
class StateOfBefore:
    """The state as it was when statistics were its only collection."""

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    key: jax.Array
    ema: Any


def saved_before(run, *, averaged: bool) -> dict:
    """Saves step 3 as it was done then; returns its statistics."""
    now = state_at(3)
    stats = {"norm": {"mean": jnp.arange(3.0)}}
    variables = {"params": now.params, "batch_stats": stats}
    state = StateOfBefore(
        step=now.step,
        params=now.params,
        batch_stats=stats,
        opt_state=now.opt_state,
        key=now.key,
        ema=variables if averaged else None,
    )
    state = jax.device_put(state, shardings(data_mesh())[0])
    with ocp.training.Checkpointer(run.absolute() / "checkpoints") as checkpointer:
        items = {"state": state, "data": {"position": json.dumps({"next_batch": 3})}}
        checkpointer.save_checkpointables(3, items)
    return stats


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_of_before_comes_back(tmp_path, averaged):
    stats = saved_before(tmp_path, averaged=averaged)
    like = state_at(0).replace(collections={"batch_stats": stats})
    if averaged:
        like = like.replace(ema={"params": like.params, **like.collections})
    like = jax.device_put(like, shardings(data_mesh())[0])
    checkpoints = Checkpoints(tmp_path, best="AR@100")
    state, position = checkpoints.restore(like, 3)
    assert (int(state.step), position) == (3, {"next_batch": 3})
    mean = state.collections["batch_stats"]["norm"]["mean"]
    np.testing.assert_array_equal(mean, [0, 1, 2])
    np.testing.assert_array_equal(state.params["conv"]["kernel"], np.full((2, 3), 3))
    shapes = checkpoints.variable_shapes(3)
    shapes = shapes["ema"] if averaged else shapes
    assert shapes.keys() == {"params", "batch_stats"}
    assert shapes["batch_stats"]["norm"]["mean"].shape == (3,)


def test_every_collection_is_saved_under_its_name(tmp_path):
    counted = {"batch_stats": {}, "seen": {"count": jnp.int32(7)}}
    state = jax.device_put(
        state_at(5).replace(collections=counted), shardings(data_mesh())[0]
    )
    checkpoints = Checkpoints(tmp_path, best="AR@100", writes=True)
    checkpoints.save(state, None)
    checkpoints.wait()
    assert checkpoints.variable_shapes(5).keys() == {"params", "batch_stats", "seen"}
    found, _ = checkpoints.restore(state, 5)
    assert found.collections["seen"]["count"] == 7


def test_a_collection_cannot_be_called_like_a_part_of_the_state():
    with pytest.raises(ValueError, match="a collection .* cannot be called 'ema'"):
        collections_of({"params": {}, "ema": {}})
