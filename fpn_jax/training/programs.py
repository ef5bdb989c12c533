"""The compiled programs of a run: initial state, training step, evaluation step."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jax.sharding import Mesh

from fpn_jax.backbones.stages import frozen_mask
from fpn_jax.compilation import call_once
from fpn_jax.data.batch import Batch
from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.fields import with_field
from fpn_jax.evaluation.evaluate import Evaluated, evaluation_step
from fpn_jax.ops.meshes import traced_on
from fpn_jax.training.config import Config, accumulated
from fpn_jax.training.optimizer import make_optimizer, reported_rate
from fpn_jax.training.state import TrainState, create_state
from fpn_jax.training.step import (
    AXIS,
    data_mesh,
    jit_step,
    jit_steps,
    pmap_step,
    pmap_steps,
    shardings,
    to_devices,
    train_step,
)


class Programs(NamedTuple):
    """Compiled at the first call with a canvas; every other shape is fixed."""

    init: Callable[[], TrainState]
    train: Callable[[TrainState, dict], tuple[TrainState, dict]]
    # The same for several batches in one call; None where a call does one step.
    train_many: Callable[[TrainState, Sequence[dict]], tuple[TrainState, dict]] | None
    evaluate: Callable[[Mapping, Batch], Evaluated]


def make_programs(config: Config) -> Programs:
    """Returns the programs of a config; `train` and `evaluate` take NumPy batches.

    Raises ValueError for a batch that the devices cannot share, and under strict dtype
    promotion.
    """
    _check_promotion()
    check_shared(config, "data", "evaluation")
    mesh = data_mesh()
    copied, _ = shardings(mesh)
    step = step_of(config)
    by_pmap = config.train.parallelism == "pmap"
    return Programs(
        init=partial(
            call_once,
            _initial_state(config, _optimizer(config)),
            out_shardings=copied,
        ),
        train=pmap_step(step)
        if by_pmap
        else jit_step(step, mesh, **jit_options(config)),
        train_many=_many(step, mesh, config),
        evaluate=evaluation_program(config),
    )


def _many(step: Callable, mesh: Mesh, config: Config) -> Callable | None:
    if config.train.steps_per_call == 1:
        return None
    if config.train.parallelism == "pmap":
        return pmap_steps(step)
    return jit_steps(step, mesh, **jit_options(config))


def step_of(config: Config) -> Callable:
    """Returns `step(state, batch)` of a config; metrics have the learning rate."""
    by_pmap = config.train.parallelism == "pmap"
    return partial(
        _step_and_rate,
        model=with_field(config.model, "axis_name", AXIS if by_pmap else None),
        optimizer=_optimizer(config),
        config=config,
    )


def evaluation_program(config: Config) -> Callable[[Mapping, Batch], Evaluated]:
    """Returns `evaluation_step` over all devices; takes NumPy batches."""
    check_shared(config, "evaluation")
    mesh = data_mesh()
    compiled = jitted_evaluation(config, mesh)
    _, split = shardings(mesh)
    return lambda variables, batch: compiled(variables, to_devices(batch, split))


def jitted_evaluation(config: Config, mesh: Mesh) -> Any:
    """Returns `evaluation_step` under jit over a mesh, of a global batch."""
    copied, split = shardings(mesh)
    model = with_field(config.model, "axis_name", None)
    return jax.jit(
        traced_on(mesh, partial(evaluation_step, model=model)),
        in_shardings=(copied, split),
        out_shardings=copied,
        **jit_options(config),
    )


def jit_options(config: Config) -> dict[str, Any]:
    """Returns jit's options: on GPU atomic sums and autotuning differ between runs."""
    if not config.train.deterministic:
        return {}
    return {"compiler_options": {"xla_gpu_deterministic_ops": True}}


def _check_promotion() -> None:
    """Detectors obey the switch, and optax's schedules and Adam do not."""
    config: Any = jax.config  # its switches are not in its type
    if config.jax_numpy_dtype_promotion == "strict":
        raise ValueError(
            "JAX_NUMPY_DTYPE_PROMOTION=strict: optax promotes types, and no step can "
            "be taken; leave it out, or set it to standard"
        )


def check_shared(config: Config, *names: str, devices: int | None = None) -> None:
    """Raises ValueError where devices cannot share a batch of these settings.

    By default they are as many as this run has.
    """
    devices = devices or jax.device_count()
    for name in names:
        size = getattr(config, name).batch_size
        if size % devices:
            raise ValueError(
                f"{name}.batch_size must be a multiple of the {devices} devices, "
                f"got {size}"
            )


def _step_and_rate(state, batch, *, config: Config, **options):
    """`train_step`, with the learning rate among the losses."""
    new_state, losses = train_step(
        state,
        batch,
        ema_decay=config.train.ema_decay,
        accumulate=accumulated(config.optimizer),
        skip=config.train.max_skipped > 0,
        **options,
    )
    rate = reported_rate(
        config.optimizer, config.train.steps, state.step, new_state.opt_state
    )
    return new_state, losses | rate


def abstract_state(config: Config, mesh: Mesh | None = None) -> TrainState:
    """Returns the shapes and shardings of a run's state; computes nothing.

    It is copied to each device of a mesh, by default to all there are.
    """
    copied, _ = shardings(data_mesh() if mesh is None else mesh)
    state = jax.eval_shape(_initial_state(config, _optimizer(config)))
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=copied), state
    )


def _initial_state(config, optimizer) -> Callable[[], TrainState]:
    return partial(
        create_state,
        with_field(config.model, "axis_name", None),
        optimizer,
        canvas=config.data.canvas,
        seed=config.train.seed,
        ema=config.train.ema_decay is not None,
    )


def _optimizer(config: Config) -> optax.GradientTransformation:
    return make_optimizer(
        config.optimizer,
        config.train.steps,
        frozen=partial(frozen_mask, frozen=facts(config.model).frozen),
    )
