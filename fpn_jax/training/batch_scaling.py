"""A recipe for batches of one size, for batches of another."""

from dataclasses import is_dataclass, replace
from fractions import Fraction

from fpn_jax.training.config import (
    Config,
    OptimizerConfig,
    OptimizerFunction,
    value_of,
)


def scale_to_batch(config: Config) -> Config:
    """Returns the config for its own batches, if it is written for others.

    Learning rate and numbers of steps are those for `train.reference_batch_size` images
    of an update. One of k times as many has k times the learning rate (Goyal et al.
    2017, section 2.1), and there are as many fewer: the images of the run, and where in
    it the rate falls and the model is evaluated, stay the same. The steps of the
    warm-up and between saves stay too. What comes back has no reference any more. The
    learning rate of an optimizer of the user's own is the user's.
    """
    reference = config.train.reference_batch_size
    if reference is None or min(reference, config.data.batch_size) < 1:
        return config  # which `check_config` refuses
    step_factor = Fraction(reference, config.data.batch_size)
    return replace(
        config,
        data=replace(
            config.data, unmixed_steps=round(config.data.unmixed_steps * step_factor)
        ),
        optimizer=_scaled(config.optimizer, config.data.batch_size, reference),
        train=replace(
            config.train,
            steps=max(round(config.train.steps * step_factor), 1),
            evaluate_every=max(round(config.train.evaluate_every * step_factor), 1),
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


def _scaled(
    optimizer: OptimizerConfig | OptimizerFunction, batch_size: int, reference: int
) -> OptimizerConfig | OptimizerFunction:
    if callable(optimizer) or not is_dataclass(optimizer):
        return optimizer  # of the user's own, or what `check_config` refuses
    factor = batch_size * optimizer.accumulate / reference
    return replace(optimizer, learning_rate=optimizer.peak * factor)
