"""Optimizers and learning-rate schedules, made of optax."""

import jax
import jax.numpy as jnp
import optax

from fpn_jax.training.config import OptimizerConfig, OptimizerFunction, accumulated
from fpn_jax.training.muon import muon

# Detectron2's linear warm-up starts at a thousandth of the learning rate.
_WARMUP_FACTOR = 1e-3


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates done.

    Linear warm-up, then constant, times 0.1 at each milestone, or a cosine to 0 that
    ends with update `steps`.
    """
    peak, warmup = config.peak, config.warmup_steps
    if config.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
    elif config.schedule == "step":
        after = optax.piecewise_constant_schedule(
            peak, {max(int(m * steps) - warmup, 0): 0.1 for m in config.milestones}
        )
    else:
        after = optax.constant_schedule(peak)
    ramp = optax.linear_schedule(peak * _WARMUP_FACTOR, peak, warmup)
    return optax.join_schedules([ramp, after], [warmup]) if warmup else after


def warmup_line(config: OptimizerConfig | OptimizerFunction, steps: int) -> str | None:
    """Says that a run ends before its warm-up does; None where it does not."""
    if (
        callable(config)
        or (updates := steps // config.accumulate) >= config.warmup_steps
    ):
        return None
    reached = jnp.asarray(learning_rate_schedule(config, updates)(updates - 1))
    return (
        f"optimizer.warmup_steps is {config.warmup_steps}, the run has {updates} "
        f"updates: the learning rate rises to {reached:.2g} of {config.peak:g}"
    )


def make_optimizer(
    config: OptimizerConfig | OptimizerFunction, steps: int, frozen=None
) -> optax.GradientTransformation:
    """Returns the optimizer of a run of `steps`; frozen parts get no update at all.

    `frozen` is a tree of booleans like the parameters, or a function that gives one.

    Raises ValueError for a user's function that gives something else.
    """
    if callable(config):
        update = config(steps)
        if not isinstance(update, optax.GradientTransformation):
            raise ValueError(
                f"optimizer: the function must return an optax.GradientTransformation, "
                f"got {type(update).__name__}"
            )
    else:
        update = _update(config, steps)
    if frozen is not None:
        update = optax.chain(update, optax.masked(optax.set_to_zero(), frozen))
    if accumulated(config) > 1:
        update = optax.MultiSteps(update, config.accumulate).gradient_transformation()
    return update


def reported_rate(
    config: OptimizerConfig | OptimizerFunction,
    steps: int,
    done: jax.Array,
    state: optax.OptState,
) -> dict[str, jax.typing.ArrayLike]:
    """Returns `{"learning_rate": …}` of the update after `done` steps of a run.

    A user's optimizer has a rate to report if it is made with
    `optax.inject_hyperparams`, which keeps the rate in the `state` after the update;
    otherwise the result is empty.
    """
    if not callable(config):
        schedule = learning_rate_schedule(config, steps // config.accumulate)
        return {"learning_rate": schedule(done // config.accumulate)}
    found = optax.tree_utils.tree_get_all_with_path(state, "learning_rate")
    rates = [x for _, x in found if isinstance(x, jax.Array) and x.ndim == 0]
    return {"learning_rate": rates[0]} if rates else {}


def _update(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Returns clipping, and the optimizer with its weight decay.

    SGD adds the decay to the gradient before the momentum, as torch does. Muon (Jordan
    et al. 2024) orthogonalizes the momentum of kernels and matrices, which takes far
    fewer images from random weights, and some time of small steps; the rest goes by
    AdamW with Nesterov's momentum. With accumulation, `steps` counts batches, not
    updates.
    """
    rate = learning_rate_schedule(config, steps // config.accumulate)
    decayed = None if config.decay_norms_and_biases else _kernels
    if config.name == "adamw":
        update = optax.adamw(rate, weight_decay=config.weight_decay, mask=decayed)
    elif config.name == "muon":
        others = config.weight_decay if decayed is None else 0.0
        update = optax.partition(
            {
                "muon": muon(rate, config.weight_decay),
                "adamw": optax.nadamw(rate, weight_decay=others),
            },
            _names_of_optimizers,
        )
    else:
        update = optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=decayed),
            optax.sgd(rate, momentum=config.momentum or None),
        )
    if config.clip_norm is not None:
        update = optax.chain(optax.clip_by_global_norm(config.clip_norm), update)
    return update


def _kernels(params):
    """Marks what weight decay acts on: matrices and kernels, not norms and biases."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _names_of_optimizers(params):
    """Returns "muon" for kernels, for norms and biases "adamw"."""
    return jax.tree.map(lambda x: "muon" if x else "adamw", _kernels(params))
