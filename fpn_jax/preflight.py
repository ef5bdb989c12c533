"""What a training needs on chips that are not here: preflight [EXPERIMENT] --topology T

Compiles the training step and the evaluation that `train` would run there, and says
whether they fit, the memory of a chip, the largest batch that fits, and an estimate of
the time by the chip's own compiler. T is v5e:4x4, v5p:2x2x1, v6e:2x2 …, or cpu for this
machine. Takes the experiment, `--model NAME` and the settings of `train`. Nothing is
trained and no data is read: images have 100 objects where `--data.max-boxes` is not
given, and classes, canvas and steps that `train` would take from the data stay those of
the model. A program takes minutes to compile, and each batch that is tried is one.

Exit status: 0 fits, 1 does not fit, 2 wrong input.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from fpn_jax.command_line import check_output, parse, user_errors
from fpn_jax.forecast.topology import read_topology, set_up_topology
from fpn_jax.runtime import set_up

DOES_NOT_FIT = 1  # exit status


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors("preflight"):
        topology = read_topology(_value(arguments, "--topology") or "v5e:2x2")
        set_up_topology(topology)
        set_up()

        from fpn_jax.forecast.report import preflight_report
        from fpn_jax.training.batch_scaling import scale_to_batch
        from fpn_jax.training.config import Config, check_config
        from fpn_jax.training.given_settings import (
            default_settings,
            typed_settings,
            what_to_train,
        )

        experiment, name, given = what_to_train(arguments)
        defaults, _ = default_settings(experiment, name, given)

        @dataclasses.dataclass(frozen=True)
        class Arguments:
            config: Annotated[Config, tyro.conf.arg(name="")] = defaults
            topology: str = "v5e:2x2"  # chips to compile for, or cpu
            # Also compile larger batches, to find the largest that fits.
            search: bool = True
            json: Path | None = None  # where to write the same as JSON

        chosen = parse(
            Arguments,
            given,
            command="preflight",
            description=__doc__,
            config=(tyro.conf.SuppressFixed, tyro.conf.AvoidSubcommands),
        )
        check_output("json", chosen.json)
        config = scale_to_batch(chosen.config, typed_settings(given))
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
