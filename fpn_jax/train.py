"""Trains a detector: train [EXPERIMENT.py | --model NAME] [--a.b VALUE …]

An experiment is a Python file with `get_config() -> Config`. `--model NAME` is a
detector of torchvision, Detectron2 or YOLOX, and the data decides its classes, canvas
and steps. Without either, a small Faster R-CNN is trained, by default on the embedded
digits. Every setting can be overridden here, and a number given here is used as it is.
A --workdir that holds a run is continued, with its settings where none are given; where
these name classes that are not of fpn_jax, the EXPERIMENT defines them, or with --trust
the copy of it that the run keeps. The default is a new directory under runs/.

Exit status: 0 done, 2 wrong input, 3 a loss is not finite, 130 or 143 stopped by Ctrl-C
or SIGTERM after a save.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from fpn_jax.command_line import parse, user_errors
from fpn_jax.runtime import join_processes, set_up

if TYPE_CHECKING:
    from fpn_jax.training.config import Config

NOT_FINITE = 3  # exit status


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("train"):
        set_up()
        import jax

        from fpn_jax.training.config import Config
        from fpn_jax.training.experiment import new_run_directory
        from fpn_jax.training.loop import NonFiniteLoss, Stopped, train

        experiment, name, given = _what(arguments)
        defaults, fitted = _defaults(experiment, name, given)

        @dataclasses.dataclass(frozen=True)
        class Arguments:
            config: Annotated[Config, tyro.conf.arg(name="")] = defaults
            workdir: Path | None = None  # of the run; by default a new one under runs/
            # Import your own classes from the experiment that the run keeps.
            trust: bool = False
            # Join the processes that a TPU pod, Slurm or Open MPI has announced.
            distributed: bool = False

        chosen = parse(
            Arguments,
            given,
            command="train",
            description=__doc__,
            # No word of what cannot be set here; the fields of optional heads are
            # options like others, not subcommands.
            config=(tyro.conf.SuppressFixed, tyro.conf.AvoidSubcommands),
        )
        if chosen.distributed:
            join_processes()
        typed = _typed(given)
        if "train.pretrained" in typed and not chosen.config.train.pretrained:
            raise ValueError("train.pretrained: no run, file or name of weights given")
        if chosen.workdir is None and jax.process_count() > 1:
            raise ValueError("workdir: needed where several processes train one run")
        run = chosen.workdir or new_run_directory(experiment, chosen.config.data.source)
        try:
            train(
                chosen.config,
                run,
                experiment=experiment,
                fitted=fitted,
                typed=typed,
            )
        except NonFiniteLoss as error:
            print(f"fpn-jax train: {error}", file=sys.stderr)
            return NOT_FINITE
        except Stopped as stop:
            words = [*arguments]
            if chosen.workdir is None:
                words += ["--workdir", str(run)]
            again = shlex.join(words)
            print(
                f"{stop}; continue with: python -m fpn_jax.train {again}",
                file=sys.stderr,
            )
            return 128 + stop.signal
    return 0


def _what(arguments: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """Returns the experiment, or the name of a model, and the other arguments."""
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


def _defaults(
    experiment: str | None, name: str | None, given: Sequence[str]
) -> tuple["Config", frozenset[str]]:
    """Returns the settings of a run before options, and those the data decides."""
    from fpn_jax.training.config import Config
    from fpn_jax.training.config_file import load_config
    from fpn_jax.training.data_fit import (
        ALL,
        CANVAS,
        CLASSES,
        as_begun,
        open_settings,
    )
    from fpn_jax.training.experiment import load_experiment
    from fpn_jax.training.fine_tuning import fine_tuning

    typed, begun = _typed(given), _workdir(given)
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


def _typed(arguments: Sequence[str]) -> frozenset[str]:
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


if __name__ == "__main__":
    sys.exit(main())
