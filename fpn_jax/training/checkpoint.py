"""Checkpoints of a run directory, through Orbax: asynchronous, atomic, latest and best.

A checkpoint holds the training state and the position in the data. Orbax writes it
under another name and renames it when it is complete, so that a kill at any moment
leaves only complete ones.
"""

import contextlib
import json
import logging
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as ocp

from fpn_jax.training.resumption import check_generator
from fpn_jax.training.state import (
    TrainState,
    restored_state,
    saved_items,
    variable_items,
)

_policies = ocp.training.preservation_policies

# Orbax's default splits replicated arrays over devices for writing and compiles a
# program for each; one writer is faster.
_ARRAYS = ocp.options.ArrayOptions(
    saving=ocp.options.ArrayOptions.Saving(use_replica_parallel=False)
)
# Where a directory cannot be made in the background, Orbax's other threads wait for it,
# and keep the process that long.
_ASYNC = ocp.options.AsyncOptions(create_directories_asynchronously=False)
_A_PART = ocp.options.PyTreeOptions(
    loading=ocp.options.PyTreeOptions.Loading(partial_load=True)
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read; the message says which and why."""


class Checkpoints:
    """The checkpoints of one run: the `keep` latest, and the best by one metric."""

    def __init__(
        self, run: str | Path, *, best: str, keep: int = 2, writes: bool = False
    ):
        """`writes`: this process trains the run, and may remove unfinished saves.

        Raises CheckpointError where process 0, which writes most, cannot.
        """
        # Orbax reports each save here, and each error that it raises as well.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._directory = Path(run).absolute() / "checkpoints"
        self._best, self._writes = best, writes
        if writes:
            self._check_writable()
        policies = [
            _policies.LatestN(keep),
            _policies.BestN(
                get_metric_fn=self._rank,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        self._checkpointer = ocp.training.Checkpointer(
            self._directory,  # pyright: ignore[reportArgumentType]  # takes pathlib's
            context=ocp.Context(array_options=_ARRAYS, async_options=_ASYNC),
            # Orbax's own policies do not fit its annotation.
            preservation_policy=_policies.AnyPreservationPolicy(policies),  # pyright: ignore[reportArgumentType]
            cleanup_tmp_directories=writes,
        )

    def save(
        self, state: TrainState, position: Any, metrics: dict[str, float] | None = None
    ) -> None:
        """Starts to save the state and the data iterator's JSON-able position.

        Waits for the save before it. With `metrics` the checkpoint may become the best.
        Nothing is begun where the disk has no room for it.
        """
        self.wait()
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        if free < needed:
            room = f"needs {needed / 1e6:.1f} MB, the disk has {free / 1e6:.1f} MB left"
            raise CheckpointError(f"checkpoint not saved in {self._directory}: {room}")
        try:
            self._checkpointer.save_checkpointables_async(
                int(state.step),
                {
                    "state": saved_items(state),
                    "data": {"position": json.dumps(position)},
                },
                metrics=None if metrics is None else dict[str, Any](metrics),
                force=True,
            )
        except Exception as error:  # Orbax passes on whatever its writers raise
            raise self._error("not saved", error) from error

    def wait(self) -> None:
        """Returns when nothing is being saved; raises what went wrong since."""
        try:
            self._checkpointer.wait()
        except Exception as error:
            raise self._error("not saved", error) from error
        if self._writes and jax.process_index() == 0:
            mark(self._directory / "best", self.best_step)

    @property
    def steps(self) -> list[int]:
        """The steps of all complete checkpoints, rising."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    @property
    def latest_step(self) -> int | None:
        """The step of the last complete checkpoint, None without one."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    @property
    def best_step(self) -> int | None:
        """The step with the best metric; the latest where none has one."""
        scored = [c for c in self._checkpointer.checkpoints if c.metrics]
        if not scored:
            return self.latest_step
        return max(scored, key=lambda c: (self._rank(c.metrics), c.step)).step

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, Any]:
        """Returns the state and the data position saved at a step.

        `like` (arrays or their shapes) gives types and shardings, so that a run may go
        on with another number of devices.
        """
        items = jax.tree.map(_abstract, saved_items(like))
        try:
            loaded = self._checkpointer.load_checkpointables(
                step, {"state": items, "data": {"position": ""}}
            )
        except Exception as error:
            self._check_fits(items, step)
            raise self._error(f"{step} not readable", error) from error
        position = json.loads(loaded["data"]["position"])
        return restored_state(loaded["state"]), position

    def _check_fits(self, items: dict[str, Any], step: int) -> None:
        """Raises ValueError where a sound checkpoint is of another kind of state.

        `items` may be some parts of a state: then others are not looked at.
        """
        try:
            metadata = self._checkpointer.checkpointables_metadata(step).metadata
            parts = {name: metadata["state"].get(name, {}) for name in items}
            saved = _shapes(parts if "key" not in items else metadata["state"])
        except Exception:  # it is damaged, and whoever reads it will say so
            return
        wanted = _shapes(items)
        if "key" in wanted:
            if "key" not in saved:
                return
            if saved["key"] != wanted["key"]:
                check_generator(self._directory.parent, saved["key"][-1])
        names = saved.keys() ^ wanted.keys()
        names |= {n for n in saved.keys() & wanted.keys() if saved[n] != wanted[n]}
        if names:
            first = min(names)
            raise CheckpointError(
                f"checkpoint {step} in {self._directory} is of another model or other "
                f"settings: {len(names)} of its arrays are not those of this run, such "
                f"as {first}: {_shape(saved, first)} in the checkpoint, "
                f"{_shape(wanted, first)} in this run"
            )

    def restore_variables(self, like: dict[str, Any], step: int) -> dict[str, Any]:
        """Returns the parts of the state that `like` names, saved at a step.

        What else is there (the optimizer's state) is neither read nor known of.

        Raises ValueError where a part has other arrays, more or fewer of them.
        """
        self._check_fits(like, step)
        try:
            with ocp.Context(array_options=_ARRAYS, pytree_options=_A_PART):
                loaded = self._checkpointer.load_checkpointables(
                    step, {"state": jax.tree.map(_abstract, like)}
                )
        except Exception as error:
            raise self._error(f"{step} not readable", error) from error
        return loaded["state"]

    def variable_shapes(self, step: int) -> dict[str, Any]:
        """Returns the parts of the state at a step that hold its model's variables.

        The model is not asked; leaves have a shape and a type. Where the run has moving
        averages, there is only `ema`.
        """
        try:
            saved = self._checkpointer.checkpointables_metadata(step).metadata
            return variable_items(saved["state"])
        except Exception as error:
            raise self._error(f"{step} not readable", error) from error

    def close(self) -> None:
        """Waits for the save under way."""
        self.wait()
        self._checkpointer.close()

    def _check_writable(self) -> None:
        if jax.process_index():
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._directory):
                pass
        except OSError as error:
            raise CheckpointError(
                f"checkpoints cannot be written in {self._directory}: {error.strerror}"
            ) from error

    def _rank(self, metrics: Any) -> float:
        """Sort key of checkpoints: larger is better, NaN and None last."""
        value = metrics[self._best]
        if value is None or math.isnan(value):
            return -math.inf
        return -value if self._best == "loss" else value

    def _error(self, what: str, error: Exception) -> CheckpointError:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        return CheckpointError(f"checkpoint {what} in {self._directory}: {reason}")


def mark(link: Path, step: int | None) -> None:
    """Makes a link beside the checkpoints that leads to the one of a step."""
    if step is None or (link.is_symlink() and os.readlink(link) == str(step)):
        return
    beside = link.with_name(f".{link.name}.new")
    with contextlib.suppress(OSError):  # where a file system has no links
        beside.unlink(missing_ok=True)
        beside.symlink_to(str(step), target_is_directory=True)
        beside.replace(link)


def _shapes(items: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array by its path; of a key the shape of its words."""

    def shape(leaf: Any) -> tuple[int, ...]:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.eval_shape(jax.random.key_data, leaf).shape
        return tuple(leaf.shape)

    flat = jax.tree.leaves_with_path(items)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): shape(leaf)
        for path, leaf in flat
    }


def _shape(shapes: dict[str, tuple[int, ...]], name: str) -> str:
    return "x".join(map(str, shapes[name])) or "a number" if name in shapes else "none"


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
