"""Evaluates a run: evaluate RUN [--json FILE]

Prints average recall and precision on the validation data of the run, or on another
data set, and the loss. Exit status: 0 done, 2 wrong input.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from fpn_jax.command_line import parse, user_errors
from fpn_jax.runtime import set_up


@dataclass(frozen=True)
class Arguments:
    run: tyro.conf.Positional[Path]  # directory written by training
    data: str | None = None  # "digits", or a directory; by default that of the run
    split: str = "validation"  # of "digits" and of a TFDS directory
    checkpoint: str = "best"  # or "latest", or the number of a step
    json: Path | None = None  # where to write the metrics


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("evaluate"):
        set_up()
        chosen = parse(Arguments, arguments, command="evaluate", description=__doc__)
        metrics = evaluate_run(chosen)
        if chosen.json is not None:
            chosen.json.write_text(json.dumps(_finite(metrics), indent=2) + "\n")
    return 0


def evaluate_run(chosen: Arguments) -> dict[str, float]:
    """Returns the metrics it has printed."""
    import jax
    from rich.console import Console

    from fpn_jax.data.sources import open_source, readable
    from fpn_jax.evaluation.coco import coco_ground_truth
    from fpn_jax.evaluation.evaluate import evaluate
    from fpn_jax.inference import load_run
    from fpn_jax.training.programs import evaluation_program
    from fpn_jax.training.progress import metrics_table

    run = load_run(chosen.run, chosen.checkpoint)
    devices = jax.device_count()  # of this machine, not of that which trained
    batch_size = -(-run.config.evaluation.batch_size // devices) * devices
    config = dataclasses.replace(
        run.config,
        evaluation=dataclasses.replace(run.config.evaluation, batch_size=batch_size),
    )
    source = open_source(chosen.data or config.data.validation, chosen.split)
    metrics, _ = evaluate(
        run.variables,
        step=evaluation_program(config),
        source=source,
        ground_truth=coco_ground_truth(readable(source), source.categories),
        batch_size=config.evaluation.batch_size,
        canvas=config.data.canvas,
        max_boxes=config.data.max_boxes,
        max_errors=config.data.max_errors,
    )
    title = f"{source.name}, {len(source)} images, checkpoint of step {run.step}"
    Console().print(metrics_table(metrics, title=title))
    return metrics


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """Returns the metrics with null for what the data cannot tell (NaN is no JSON)."""
    return {k: None if math.isnan(v) else v for k, v in metrics.items()}


if __name__ == "__main__":
    sys.exit(main())
