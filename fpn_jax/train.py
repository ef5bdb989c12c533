"""Trains a detector, or continues a run.

    fpn-jax train
    fpn-jax train --model fasterrcnn_resnet50_fpn --data.source my_data \\
        --train.pretrained fasterrcnn_resnet50_fpn
    fpn-jax train my_experiment.py --train.steps 5000
    fpn-jax train --workdir runs/digits-1

The first line trains a small Faster R-CNN on the embedded digits. The second one
fine-tunes a published detector: the data decides its classes, canvas and steps. The
third one reads all settings from a Python file. The fourth one continues a run.

The defaults shown are the digits'. A command that names a detector or an experiment
shows others: fpn-jax train --model yolox_nano --help.

Exit status: 0 done, 2 wrong input, 3 a loss is not finite, 130 or 143 stopped by Ctrl-C
or SIGTERM after a save.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fpn_jax.command_line import Positional, arg, parse, user_errors
from fpn_jax.options.other_names import check_other_names
from fpn_jax.runtime import join_processes, set_up

NOT_FINITE = 3  # exit status
COMMON = {
    "The detector": ("experiment", "model", "train.pretrained"),
    "The data": (
        *("data.source", "data.validation", "data.canvas", "data.batch_size"),
        *("data.flip", "data.workers"),
    ),
    "The training": (
        *("train.steps", "train.hours", "train.patience", "train.evaluate_every"),
        *("optimizer.name", "optimizer.learning_rate", "optimizer.accumulate"),
        *("train.seed",),
    ),
    "The run": ("workdir", "trust", "distributed"),
}
"""The settings that most runs need, which `--help` shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("train"):
        check_other_names("train", arguments)
        set_up()
        import jax

        from fpn_jax.training.config import Config
        from fpn_jax.training.ending import Stopped
        from fpn_jax.training.experiment import new_run_directory
        from fpn_jax.training.given_settings import (
            default_settings,
            typed_settings,
            what_to_train,
            without_automatic,
        )
        from fpn_jax.training.loop import train
        from fpn_jax.training.step_numbers import NonFiniteLoss

        experiment, name, given = what_to_train(arguments)
        given, automatic = without_automatic(given)
        defaults, fitted = default_settings(experiment, name, given)

        @dataclasses.dataclass(frozen=True)
        class Arguments:
            # Python file with `get_config() -> Config`, which gives all settings.
            experiment: Positional[Path | None] = None
            # Name of a detector of torchvision, Detectron2 or YOLOX, or of published
            # weights (fpn-jax models), in the place of an experiment.
            named: Annotated[str | None, arg(name="model", metavar="NAME")] = None
            config: Annotated[Config, arg(name="")] = defaults
            # Directory of the run; one that holds a run is continued. By default a new
            # directory under runs/ is made.
            workdir: Path | None = None
            # Import your own classes from the copy of the experiment in the run.
            trust: bool = False
            # Join the processes that a TPU pod, Slurm or Open MPI has announced.
            distributed: bool = False

        chosen = parse(
            Arguments,
            given,
            command="train",
            description=__doc__,
            common=COMMON,
        )
        if chosen.experiment is not None:
            raise ValueError(f"experiment: '{chosen.experiment}' must come first")
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
                fitted=fitted | automatic,
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
                f"{stop}; continue with: fpn-jax train {again}",
                file=sys.stderr,
            )
            return 128 + stop.signal
    return 0


if __name__ == "__main__":
    sys.exit(main())
