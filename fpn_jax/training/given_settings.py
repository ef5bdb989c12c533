"""The settings of a run before its options, from the words of a command line."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fpn_jax.training.config import Config
from fpn_jax.training.config_file import load_config, read_tree
from fpn_jax.training.data_fit import (
    ALL,
    BATCH_SIZE,
    CANVAS,
    CLASSES,
    as_begun,
    open_settings,
)
from fpn_jax.training.experiment import load_experiment
from fpn_jax.training.fine_tuning import fine_tuning


def what_to_train(
    arguments: Sequence[str],
) -> tuple[str | None, str | None, list[str]]:
    """Returns the experiment, or the name of a model, and the other arguments.

    Raises ValueError where both are given.
    """
    rest = list(arguments)
    experiment = rest.pop(0) if rest and not rest[0].startswith("-") else None
    name, others = None, []
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        if word != "--model":
            others.append(f"{word}{equals}{value}")
            continue
        name = value if equals else "".join(rest[:1])
        rest = rest if equals else rest[1:]
    if experiment and name is not None:
        raise ValueError(f"model: {name!r} given beside the experiment {experiment!r}")
    return experiment, name, others


def default_settings(
    experiment: str | None, name: str | None, given: Sequence[str]
) -> tuple[Config, frozenset[str]]:
    """Returns the settings of a run before options, and those the data decides."""
    typed, begun = typed_settings(given), _workdir(given)
    if begun and not (begun / "config.json").exists():
        begun = None
    if experiment:
        return load_experiment(experiment), frozenset()
    if begun:
        config = load_config(begun, trust="--trust" in given)
        if name is not None:  # the run's own, or `check_resumable` says what differs
            wanted = fine_tuning(name, pretrained=bool(config.train.pretrained))
            model = as_begun(wanted.model, config.model)
            config = dataclasses.replace(config, model=model)
        return config, frozenset()
    if name is None:
        return Config(), open_settings((CLASSES, CANVAS), typed)
    config = fine_tuning(name, pretrained="train.pretrained" in typed)
    if "optimizer.name" in typed and not callable(config.optimizer):
        # Its own rate, not AdamW's.
        optimizer = dataclasses.replace(config.optimizer, learning_rate=None)
        config = dataclasses.replace(config, optimizer=optimizer)
    return config, open_settings(ALL, typed)


def without_automatic(given: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Returns the options without `--data.batch-size auto`, and what that leaves open.

    A run that was begun keeps the batch size that it has: its number takes the place
    of the word.
    """
    begun = _workdir(given)
    begun = begun if begun and (begun / "config.json").exists() else None
    options, opened, rest = [], frozenset(), list(given)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        value = value if equals else "".join(rest[:1])
        if name not in ("--data.batch-size", "--data.batch_size"):
            options.append(word)
        elif value == "auto":
            rest = rest if equals else rest[1:]
            if begun is None:
                opened = frozenset({BATCH_SIZE})
            elif size := read_tree(begun).get("data", {}).get("batch_size"):
                options.append(f"--data.batch-size={size}")
        elif value[:1].isalpha():
            raise ValueError(
                f"--data.batch-size: {value!r} given, must be a whole number or auto"
            )
        else:
            options.append(word)
    return options, opened


def typed_settings(arguments: Sequence[str]) -> frozenset[str]:
    """Returns the names of the options among the arguments: "train.steps"."""
    options = (word.partition("=")[0] for word in arguments if word.startswith("--"))
    return frozenset(option[2:].replace("-", "_") for option in options)


def _workdir(arguments: Sequence[str]) -> Path | None:
    """Returns the run directory among the arguments, ahead of the other settings."""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--workdir":
            return Path(value if equals else "".join(arguments[number + 1 :][:1]))
    return None
