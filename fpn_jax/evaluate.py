"""Measures the average precision of a run or a published model.

    fpn-jax evaluate runs/digits-1
    fpn-jax evaluate fasterrcnn_resnet50_fpn --data my_data --json metrics.json

COCO's figures of boxes, masks and keypoints are printed, with the loss and the average
precision of each class. The data is the validation split of the run, or another data
set whose classes have the same names.

Exit status: 0 done, 2 wrong input.
"""

import dataclasses
import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fpn_jax.choices import check_count, check_fraction
from fpn_jax.command_line import (
    Positional,
    arg,
    check_output,
    check_writable,
    parse,
    user_errors,
)
from fpn_jax.runtime import join_processes, set_up

if TYPE_CHECKING:
    from fpn_jax.training.config import Config
    from fpn_jax.training.validation import Validation

_log = logging.getLogger(__name__)
COMMON = {
    "What is evaluated": ("run", "checkpoint", "data", "split"),
    "How": ("score_threshold", "max_detections", "tiles", "tta", "dtype"),
    "What is written": ("json", "predictions", "plots"),
}
"""The options that most evaluations need, which `--help` shows."""


@dataclass(frozen=True)
class Arguments:
    # Directory of a run, or the name of a published model.
    run: Positional[Path]
    # Data set to evaluate on, by default the one of the run.
    data: Annotated[str | None, arg(metavar="DATA")] = None
    # Split to evaluate on, by default the one that the run validates on.
    split: Annotated[str | None, arg(metavar="NAME")] = None
    # Checkpoint of the run: "best", "latest", or the number of a step.
    checkpoint: Annotated[str, arg(metavar="WHICH")] = "best"
    # Type that the network computes in, by default the one of the run.
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    # Lowest score of a detection, by default the model's own.
    score_threshold: float | None = None
    # IoU above which the lower of two boxes of a class is dropped, by default the
    # model's own.
    nms_threshold: float | None = None
    # Most detections of an image and of a class. By default an image has as many as the
    # model gives, and a class 100, or 20 with keypoints, as COCO counts.
    max_detections: int | None = None
    # Side in pixels of the squares that large images are cut into, for small objects.
    # By default images are looked at as a whole.
    tiles: int | None = None
    # Share of its side that a tile has in common with its neighbors.
    overlap: float = 0.2
    # Views that are looked at as well: flip,0.8,1.2 is the mirror image and two scales.
    tta: Annotated[str, arg(metavar="VIEWS")] = ""
    # File for the metrics as JSON.
    json: Path | None = None
    # File for the detections as COCO results, for other tools.
    predictions: Path | None = None
    # Directory for the curves, the confusion matrix and samples, made if need be.
    plots: Annotated[Path | None, arg(metavar="DIRECTORY")] = None
    # Python file with your own classes, where the model has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False
    # Join the processes that a TPU pod, Slurm or Open MPI has announced.
    distributed: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("evaluate"):
        set_up()
        import jax

        chosen = parse(
            Arguments,
            arguments,
            command="evaluate",
            description=__doc__,
            common=COMMON,
        )
        check_outputs(chosen)
        if chosen.score_threshold is not None:
            check_fraction("score-threshold", chosen.score_threshold)
        if chosen.nms_threshold is not None:
            check_fraction("nms-threshold", chosen.nms_threshold)
        if chosen.max_detections is not None:
            check_count("max-detections", chosen.max_detections)
        check_views(chosen)
        if chosen.distributed:
            join_processes()
        metrics, validation = evaluate_run(chosen)
        if jax.process_index() == 0:
            write(chosen, metrics, validation)
    return 0


def check_outputs(chosen: Arguments) -> None:
    """Raises ValueError where a file could not be written after the work."""
    check_output("json", chosen.json)
    check_output("predictions", chosen.predictions)
    if (plots := chosen.plots) is not None:
        if plots.exists() and not plots.is_dir():
            raise ValueError(f"plots: {str(plots)!r} is a file, must be a directory")
        check_writable("plots", plots)


def write(
    chosen: Arguments, metrics: dict[str, float], validation: "Validation"
) -> None:
    """Writes the files that were asked for."""
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(_finite(metrics), indent=2) + "\n")
    if chosen.predictions is not None:
        chosen.predictions.write_text(json.dumps(validation.results))
    if chosen.plots is not None:
        from fpn_jax.training.report import draw_validation

        chosen.plots.mkdir(parents=True, exist_ok=True)
        draw_validation(chosen.plots, validation)


def check_views(chosen: Arguments) -> None:
    """Raises ValueError for tiles or views that mean nothing."""
    from fpn_jax.inference.augmentations import parse_ways
    from fpn_jax.inference.tiles import Tiles

    parse_ways(chosen.tta)
    Tiles(1 if chosen.tiles is None else chosen.tiles, chosen.overlap)
    if chosen.distributed and (chosen.tiles is not None or chosen.tta):
        raise ValueError("tiles, tta: one process looks at them, without --distributed")


def evaluate_run(chosen: Arguments) -> tuple[dict[str, float], "Validation"]:
    """Returns the metrics it has printed, and the validation with its detections."""
    from fpn_jax.training.programs import evaluation_program
    from fpn_jax.training.published import run_directory
    from fpn_jax.training.run import check_detects, load_run
    from fpn_jax.training.validation import Validation

    run = load_run(
        run_directory(chosen.run),
        chosen.checkpoint,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    check_detects(run.config.model, chosen.run)
    config = asked_config(run.config, chosen)
    program = evaluation_program(config)
    try:
        validation = Validation(config, program, run.categories, chosen.max_detections)
    except ValueError as error:
        if chosen.data is not None:
            raise
        raise ValueError(f"{error}; --data gives the run another data set") from error
    check_counted(validation)
    if chosen.tiles is None and not chosen.tta:
        metrics = validation(run.variables) or {}  # nothing interrupts it
    else:
        metrics = evaluate_views(validation, config, run.variables, chosen)
    print_metrics(metrics, validation, run.step)
    return metrics, validation


def asked_config(config: "Config", chosen: Arguments) -> "Config":
    """Returns the config of a run with the data, type and thresholds asked for."""
    import jax

    from fpn_jax.detectors.contract import with_dtype, with_thresholds

    model, data, evaluation = config.model, config.data, config.evaluation
    if chosen.dtype is not None:
        model = with_dtype(model, chosen.dtype)
    model = with_thresholds(
        model,
        score_threshold=chosen.score_threshold,
        nms_threshold=chosen.nms_threshold,
        max_detections=chosen.max_detections,
    )
    devices = jax.device_count()  # of this machine, not of the one that trained
    batch_size = -(-evaluation.batch_size // devices) * devices
    source, split = chosen.data or data.source, chosen.split or data.validation
    return dataclasses.replace(
        config,
        model=model,
        data=dataclasses.replace(data, source=source, validation=split),
        evaluation=dataclasses.replace(evaluation, batch_size=batch_size),
    )


def print_metrics(
    metrics: dict[str, float], validation: "Validation", step: int
) -> None:
    """Prints the figures of all images, then of each class."""
    import jax
    from rich.console import Console

    from fpn_jax.evaluation.tables import (
        class_metrics_table,
        image_count,
        metrics_table,
    )

    source = validation.source
    count = image_count(len(validation.read), len(source))
    title = f"{source.name}, {count}, checkpoint of step {step}"
    console = Console(quiet=jax.process_index() != 0)
    console.print(metrics_table(metrics, title=title))
    if any(name.startswith("AP/") for name in metrics):
        console.print(class_metrics_table(metrics))


def check_counted(validation: "Validation") -> None:
    """Warns of images with more objects of a class than the figures count."""
    counts = Counter(
        (row["image_id"], row["category_id"])
        for row in validation.ground_truth["annotations"]
        if not row.get("iscrowd")
    )
    most = max(counts.values(), default=0)
    counted = max(measure.precision_limit for measure in validation.measures)
    if most > counted:
        _log.warning(
            "Up to %d objects of a class in an image, of whose detections %d count: "
            "--max-detections counts more.",
            *(most, counted),
        )


def evaluate_views(
    validation: "Validation", config: "Config", variables: dict, chosen: Arguments
) -> dict[str, float]:
    """Returns the figures where an image is looked at in tiles or several views.

    The validation keeps the detections. There is no loss. One process does it.
    """
    from fpn_jax.inference.augmentations import parse_ways
    from fpn_jax.inference.predictor import Predictor
    from fpn_jax.inference.scoring import score
    from fpn_jax.inference.tiles import Tiles

    predictor = Predictor(
        config.model,
        variables,
        config.data.canvas,
        validation.categories,
        batch_size=config.evaluation.batch_size,
        box_scale=config.data.box_scale,
        tiles=None if chosen.tiles is None else Tiles(chosen.tiles, chosen.overlap),
        ways=parse_ways(chosen.tta),
        max_detections=chosen.max_detections,
    )
    metrics, validation.results, validation.read = score(
        predictor, validation.source, validation.ground_truth, validation.measures
    )
    return metrics


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    """Returns the metrics with null for those without a value (NaN is no JSON)."""
    return {k: None if math.isnan(v) else v for k, v in metrics.items()}


if __name__ == "__main__":
    sys.exit(main())
