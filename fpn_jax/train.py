"""Trains a detector: train [EXPERIMENT.py] [--workdir DIR] [--a.b VALUE …]

An experiment is a Python file with `get_config() -> Config`; without one, a Faster
R-CNN is trained on the embedded digits. Every setting of it can be overridden here. A
--workdir that holds a run is continued, with its settings where none are given; where
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
    from fpn_jax.training.config import DataConfig

NOT_FINITE = 3  # exit status


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("train"):
        set_up()
        import jax

        from fpn_jax.training.config import Config
        from fpn_jax.training.config_file import load_config
        from fpn_jax.training.experiment import load_experiment, new_run_directory
        from fpn_jax.training.loop import NonFiniteLoss, Stopped, train

        experiment = None
        if arguments and not arguments[0].startswith("-"):
            experiment = arguments.pop(0)
        begun = _workdir(arguments)
        is_new = False  # without settings of an experiment or of the run
        if experiment:
            defaults = load_experiment(experiment)
        elif begun and (begun / "config.json").exists():
            defaults = load_config(begun, trust="--trust" in arguments)
        else:
            defaults, is_new = Config(), True

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
            arguments,
            command="train",
            description=__doc__,
            # No word of what cannot be set here; the fields of optional heads are
            # options like others, not subcommands.
            config=(tyro.conf.SuppressFixed, tyro.conf.AvoidSubcommands),
        )
        if chosen.distributed:
            join_processes()
        if chosen.workdir is None and jax.process_count() > 1:
            raise ValueError("workdir: needed where several processes train one run")
        run = chosen.workdir or new_run_directory(experiment, chosen.config.data.source)
        try:
            train(
                chosen.config,
                run,
                experiment=experiment,
                fit_canvas=is_new and _is_fitted(chosen.config.data, arguments),
            )
        except NonFiniteLoss as error:
            print(f"fpn-jax train: {error}", file=sys.stderr)
            return NOT_FINITE
        except Stopped as stop:
            words = [experiment] if experiment else []
            if chosen.workdir is None:
                words += ["--workdir", str(run)]
            again = shlex.join([*words, *arguments])
            print(
                f"{stop}; continue with: python -m fpn_jax.train {again}",
                file=sys.stderr,
            )
            return 128 + stop.signal
    return 0


def _is_fitted(data: "DataConfig", arguments: Sequence[str]) -> bool:
    """Whether images may choose the shape of the canvas: not the digits' own."""
    given = any(a.partition("=")[0] == "--data.canvas" for a in arguments)
    return data.source != "digits" and not given


def _workdir(arguments: Sequence[str]) -> Path | None:
    """Returns the run directory among the arguments, ahead of the other settings."""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--workdir":
            return Path(value if equals else "".join(arguments[number + 1 :][:1]))
    return None


if __name__ == "__main__":
    sys.exit(main())
