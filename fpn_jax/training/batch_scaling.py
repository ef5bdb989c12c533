"""A recipe for batches of one size, for batches of another."""

from collections.abc import Collection
from dataclasses import is_dataclass, replace
from fractions import Fraction

from fpn_jax.training.config import (
    Config,
    OptimizerConfig,
    OptimizerFunction,
    value_of,
)


def scale_to_batch(config: Config, typed: Collection[str] = ()) -> Config:
    """Returns the config for its own batches, if it is written for others.

    Learning rate and numbers of steps are those for `train.reference_batch_size` images
    of an update. One of k times as many has k times the learning rate (Goyal et al.
    2017, section 2.1), and there are as many fewer: the images of the run, and where in
    it the rate falls and the model is evaluated, stay the same. The steps of the
    warm-up and between saves stay too, and so do the settings `typed` ("train.steps"),
    which somebody has chosen for this run. What comes back has no reference any more.
    The learning rate of an optimizer of the user's own is the user's.
    """
    reference = config.train.reference_batch_size
    if reference is None or min(reference, config.data.batch_size) < 1:
        return config  # which `check_config` refuses
    factor = Fraction(reference, config.data.batch_size)
    data, train = config.data, config.train
    changed_data = {"unmixed_steps": round(data.unmixed_steps * factor)}
    changed_train = {
        "steps": max(round(train.steps * factor), 1),
        "evaluate_every": max(round(train.evaluate_every * factor), 1),
    }
    optimizer = config.optimizer
    if "optimizer.learning_rate" not in typed:
        optimizer = _scaled(optimizer, data.batch_size, reference)
    return replace(
        config,
        data=replace(data, **_untyped(changed_data, "data", typed)),
        optimizer=optimizer,
        train=replace(
            train,
            **_untyped(changed_train, "train", typed),
            reference_batch_size=None,
        ),
    )


def scaled_line(written: Config, config: Config) -> str:
    """Says which settings `scale_to_batch` has changed, from what to what."""
    names = {
        "train.steps": "{new:g} steps in place of {old:g}",
        "train.evaluate_every": "evaluation every {new:g} in place of {old:g}",
        "data.unmixed_steps": "{new:g} unmixed steps in place of {old:g}",
    }
    if not callable(config.optimizer):
        names["optimizer.peak"] = "learning rate {new:g} in place of {old:g}"
    values = {name: (value_of(written, name), value_of(config, name)) for name in names}
    changed = [
        names[name].format(old=old, new=new)
        for name, (old, new) in values.items()
        if old != new
    ]
    reference = written.train.reference_batch_size
    return (
        f"batches of {config.data.batch_size}, the settings are for {reference}: "
        f"{', '.join(changed) or 'all stay'}; --train.reference-batch-size None takes "
        "them as they are given"
    )


def _untyped(
    changes: dict[str, int], part: str, typed: Collection[str]
) -> dict[str, int]:
    return {n: value for n, value in changes.items() if f"{part}.{n}" not in typed}


def _scaled(
    optimizer: OptimizerConfig | OptimizerFunction, batch_size: int, reference: int
) -> OptimizerConfig | OptimizerFunction:
    if callable(optimizer) or not is_dataclass(optimizer):
        return optimizer  # of the user's own, or what `check_config` refuses
    factor = batch_size * optimizer.accumulate / reference
    return replace(optimizer, learning_rate=optimizer.peak * factor)
