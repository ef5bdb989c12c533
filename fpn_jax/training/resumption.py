"""Settings that a run keeps from its first step to its last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from fpn_jax.training.config import Config, value_of

# Lengths of the keys of JAX's random generators.
_GENERATORS = {2: "threefry2x32", 4: "rbg"}


def changed_setting(before: Config, now: Config) -> str | None:
    """Returns "NAME OLD, got NEW" of a setting that had to stay; None where all have.

    The position in the data belongs to a source, batches and a seed, and the state of
    the optimizer to its parts, of which an average of the parameters is one. Both
    configs have settings for the optimizer, or the same function.
    """
    for name, kept in _fixed(now).items():
        old, new = value_of(before, name), value_of(now, name)
        if kept(old) != kept(new):
            return f"{name} {old!r}, got {new!r}"
    return None


def changed_optimizer(before: Any, now: Any) -> str | None:
    """Returns "optimizer OLD, got NEW" where one is a function, or both are others.

    Both are encoded; nothing is imported.
    """
    old, new = _described(before), _described(now)
    return None if old == new else f"optimizer {old}, got {new}"


def check_generator(run: str | Path, words: int) -> None:
    """Raises ValueError where a run was begun with another random generator.

    `words` is the length of the key in its checkpoint.
    """
    key = jax.random.key(0)
    if words != jax.random.key_data(key).size:
        raise ValueError(
            f"workdir: {str(run)!r} was begun with JAX_DEFAULT_PRNG_IMPL "
            f"{_GENERATORS.get(words, f'of {words} words')}, got "
            f"{jax.random.key_impl(key)}"
        )


def _fixed(config: Config) -> dict[str, Callable[[Any], Any]]:
    """Returns the settings that stay, and the part of each that has to be the same."""
    names = ["data.source", "data.train", "data.skip_empty", "data.batch_size"]
    names += ["data.group_by_aspect", "train.seed"]
    names += ["data.canvas"] if config.data.group_by_aspect else []  # says who stands
    fixed: dict[str, Callable[[Any], Any]] = dict.fromkeys(names, _itself)
    fixed["data.source"] = _place
    fixed["train.ema_decay"] = _is_given
    if not callable(config.optimizer):
        fixed |= {
            "optimizer.name": _itself,
            "optimizer.accumulate": _itself,
            "optimizer.clip_norm": _is_given,
            "optimizer.decay_norms_and_biases": _itself,
        }
        if config.optimizer.name == "sgd":
            fixed["optimizer.momentum"] = bool
    return fixed


def _described(optimizer: Any) -> str:
    """Returns the name of an encoded optimizer: a class of settings, or a function."""
    if not isinstance(optimizer, dict):
        return repr(optimizer)
    names = (optimizer.get(key) for key in ("class", "function", "partial"))
    return next((str(name) for name in names if name), repr(optimizer))


def _itself(value: Any) -> Any:
    return value


def _place(source: str) -> Any:
    """Returns a path in the form that all spellings of it have: "coco/", "./coco"."""
    return Path(source).resolve() if Path(source).exists() else source


def _is_given(value: Any) -> bool:
    return value is not None
