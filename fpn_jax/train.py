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
from typing import Annotated

import tyro

from fpn_jax.command_line import parse, user_errors
from fpn_jax.runtime import join_processes, set_up

NOT_FINITE = 3  # exit status


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("train"):
        set_up()
        import jax

        from fpn_jax.training.config import Config
        from fpn_jax.training.experiment import new_run_directory
        from fpn_jax.training.given_settings import (
            default_settings,
            typed_settings,
            what_to_train,
        )
        from fpn_jax.training.loop import Stopped, train
        from fpn_jax.training.step_numbers import NonFiniteLoss

        experiment, name, given = what_to_train(arguments)
        defaults, fitted = default_settings(experiment, name, given)

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
        typed = typed_settings(given)
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


if __name__ == "__main__":
    sys.exit(main())
