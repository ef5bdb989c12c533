"""Predicts memory and time of a training on chips that are not here.

    fpn-jax preflight --topology v5e:2x2
    fpn-jax preflight my_experiment.py --topology v5p:2x2x1 --data.batch-size 64

The training step and the evaluation that `train` would run are compiled for the chips.
The report has their memory, the largest batch that fits, and the time of a step as the
compiler of the chip estimates it. The experiment, `--model` and the settings are those
of `train`.

`--data.batch-size auto` reports on the batch that `train` would choose there.

Nothing is trained and no data is read. Images have 100 objects where `--data.max-boxes`
is not given, and classes, canvas and steps that `train` would take from the data stay
those of the model. A program takes minutes to compile, and each batch that is tried is
one program.

Exit status: 0 fits, 1 does not fit, 2 wrong input.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fpn_jax.command_line import Positional, arg, check_output, parse, user_errors
from fpn_jax.forecast.topology import read_topology, set_up_topology
from fpn_jax.options.other_names import check_other_names
from fpn_jax.runtime import set_up

DOES_NOT_FIT = 1  # exit status
COMMON = {
    "The chips": ("topology", "search", "json"),
    "The training": (
        *("experiment", "model", "data.batch_size", "data.canvas", "data.max_boxes"),
        *("optimizer.accumulate", "train.parallelism"),
    ),
}
"""The settings that most forecasts need, which `--help` shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("preflight"):
        check_other_names("preflight", arguments)
        topology = read_topology(_value(arguments, "--topology") or "v5e:2x2")
        set_up_topology(topology)
        set_up()

        from fpn_jax.forecast.report import chosen_batch, preflight_report
        from fpn_jax.training.batch_scaling import scale_to_batch
        from fpn_jax.training.config import Config, check_config
        from fpn_jax.training.given_settings import (
            default_settings,
            typed_settings,
            what_to_train,
            without_automatic,
        )

        experiment, name, given = what_to_train(arguments)
        given, opened = without_automatic(given)
        defaults, _ = default_settings(experiment, name, given)

        @dataclasses.dataclass(frozen=True)
        class Arguments:
            # Python file with `get_config() -> Config`, which gives all settings.
            experiment: Positional[Path | None] = None
            # Name of a detector of torchvision, Detectron2 or YOLOX, or of published
            # weights (fpn-jax models), in the place of an experiment.
            named: Annotated[str | None, arg(name="model", metavar="NAME")] = None
            config: Annotated[Config, arg(name="")] = defaults
            # Chips to compile for: v5e:4x4, v5p:2x2x1, v6e:2x2 …, or cpu, this machine.
            topology: Annotated[str, arg(metavar="CHIPS")] = "v5e:2x2"
            # Compile other batches as well, to find the largest that fits.
            search: bool = True
            # File for the report as JSON.
            json: Path | None = None

        chosen = parse(
            Arguments,
            given,
            command="preflight",
            description=__doc__,
            common=COMMON,
        )
        if chosen.experiment is not None:
            raise ValueError(f"experiment: '{chosen.experiment}' must come first")
        check_output("json", chosen.json)
        config = chosen.config
        if opened:
            check_config(config)  # before minutes of compiling
            config = chosen_batch(config, topology)
        config = scale_to_batch(config, typed_settings(given))
        check_config(config)
        found = preflight_report(config, topology, search=chosen.search)
        if chosen.json is not None:
            chosen.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["fits"] else DOES_NOT_FIT


def _value(arguments: Sequence[str], option: str) -> str | None:
    """Returns the value of an option, which must be known before JAX starts."""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option:
            return value if equals else "".join(arguments[number + 1 :][:1])
    return None


if __name__ == "__main__":
    sys.exit(main())
