"""The start of a run: all checks, its data, programs, state and files."""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax

from fpn_jax.data.canvases import shrinking_line
from fpn_jax.data.example import Source
from fpn_jax.data.read_ahead import TrainingBatches
from fpn_jax.detectors.check import check_model
from fpn_jax.detectors.contract import facts
from fpn_jax.loggers.contract import check_installed
from fpn_jax.training.batch_scaling import scale_to_batch, scaled_line
from fpn_jax.training.batch_size import automatic_batch_size, with_batch_size
from fpn_jax.training.categories import run_categories, write_categories
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import (
    Config,
    check_config,
    check_ranges,
)
from fpn_jax.training.config_file import (
    check_readable,
    check_resumable,
    write_config,
)
from fpn_jax.training.data import (
    check_splits,
    max_boxes_of,
    training_data,
    training_source,
)
from fpn_jax.training.data_fit import (
    BATCH_SIZE,
    CANVAS,
    CLASSES,
    STEPS,
    fit_to_data,
    fitted_line,
)
from fpn_jax.training.data_pictures import write_data_pictures
from fpn_jax.training.memory import check_memory
from fpn_jax.training.metrics import MetricWriter
from fpn_jax.training.objects import check_objects
from fpn_jax.training.optimizer import warmup_line
from fpn_jax.training.pretrained import (
    check_pretrained,
    check_published,
    with_pretrained,
)
from fpn_jax.training.programs import (
    Programs,
    abstract_state,
    check_shared,
    make_programs,
)
from fpn_jax.training.progress import ProgressDisplay, say_first
from fpn_jax.training.run_loggers import open_loggers
from fpn_jax.training.state import TrainState
from fpn_jax.training.validation import Validation, check_best


class Started(NamedTuple):
    """The parts that a run needs from its first step on."""

    config: Config
    run: Path
    first: int  # the step that its state is of
    state: TrainState
    programs: Programs
    batches: TrainingBatches
    validation: Validation
    checkpoints: Checkpoints
    writer: MetricWriter
    display: ProgressDisplay


def begin(
    config: Config,
    run: Path,
    *,
    experiment: str | Path | None = None,
    fitted: Collection[str] = (),
    typed: Collection[str] = (),
) -> Started:
    """Starts a run from its last checkpoint, or from its first weights.

    Raises ValueError, before the first step, where the run could not be trained, or not
    be opened afterwards.
    """
    automatic = BATCH_SIZE in fitted
    config = _checked(config, run, typed, automatic=automatic)
    source = training_source(config)
    if automatic:
        config = _with_automatic_batch(config, source, fitted, typed)
    given, config = config, fit_to_data(config, source, fitted)
    check_config(config)
    sizes = source.image_sizes
    notes = [fitted_line(given, config)]
    notes += [] if sizes is None else [shrinking_line(sizes, config.data.canvas)]
    notes.append(warmup_line(config.optimizer, config.train.steps))
    programs = make_programs(config)
    by_keypoints = "keypoints" in facts(config.model).measures
    notes.append(check_objects(source, keypoints=by_keypoints))
    categories = run_categories(config.model, source.categories)
    batches = training_data(config, source)
    validation = Validation(config, programs.evaluate, categories)
    if not (run / "checkpoints").exists():
        check_published(config)
    checkpoints = Checkpoints(
        run, best=config.evaluation.best, keep=config.train.keep, writes=True
    )
    for note in filter(None, notes):
        say_first(note)
    first, state = _state(config, run, checkpoints, programs, batches)
    write_config(config, run, experiment=experiment)
    spec = source.keypoint_spec
    write_categories(categories, spec.skeleton if spec else (), run)
    if jax.process_index() == 0:
        write_data_pictures(run, source, batches)
    loggers = open_loggers(config, run) if jax.process_index() == 0 else []
    display = ProgressDisplay(
        config.train.steps,
        first_step=first,
        batch_size=config.data.batch_size,
        images=len(source),
    )
    display.say(f"{'continuing' if first else 'training'} {run} from step {first}")
    return Started(
        config=config,
        run=run,
        first=first,
        state=state,
        programs=programs,
        batches=batches,
        validation=validation,
        checkpoints=checkpoints,
        writer=MetricWriter(run, first_step=first, loggers=loggers),
        display=display,
    )


def _state(
    config: Config,
    run: Path,
    checkpoints: Checkpoints,
    programs: Programs,
    batches: TrainingBatches,
) -> tuple[int, TrainState]:
    """Returns the step that a run starts from and its state; sets the batches to it."""
    first = checkpoints.latest_step or 0
    if first > config.train.steps:
        raise ValueError(
            f"train.steps: {str(run)!r} has done {first} steps, "
            f"got {config.train.steps}"
        )
    if not first:
        say_first("compiling the initial weights")
        return 0, with_pretrained(programs.init(), config)
    state, position = checkpoints.restore(abstract_state(config), first)
    batches.set_state(position)
    return first, state


def _with_automatic_batch(
    config: Config, source: Source, fitted: Collection[str], typed: Collection[str]
) -> Config:
    """Returns the config for batches of as many images as memory holds."""
    say_first("compiling steps of one and two images for --data.batch-size auto")
    shapes = fit_to_data(config, source, {CLASSES, CANVAS} & set(fitted))
    check_config(shapes)
    data = replace(shapes.data, max_boxes=max_boxes_of(shapes.data, source))
    size, line = automatic_batch_size(replace(shapes, data=data), len(source))
    say_first(line)
    written = with_batch_size(config, size)
    config = scale_to_batch(written, typed)
    if config != written:
        say_first(scaled_line(written, config))
    elif STEPS not in fitted:
        say_first(
            f"steps and learning rate stay: {config.train.steps} steps of {size} images"
        )
    return config


def _checked(
    config: Config, run: Path, typed: Collection[str], *, automatic: bool
) -> Config:
    """Returns the config for its own batches, after all checks that need no data.

    Where the batch size is `automatic` it is one image a device, for now.
    """
    if automatic:
        config = with_batch_size(config, jax.device_count())
    if run.exists() and not run.is_dir():
        raise ValueError(f"workdir: {str(run)!r} is a file, must be a directory")
    above = next(path for path in (run, *run.absolute().parents) if path.exists())
    if not above.is_dir():
        raise ValueError(f"workdir: {str(run)!r} is below {str(above)!r}, a file")
    if not os.access(above, os.W_OK):
        raise ValueError(f"workdir: {str(run)!r} cannot be written in {str(above)!r}")
    check_resumable(config, run)
    check_ranges(config)
    written, config = config, config if automatic else scale_to_batch(config, typed)
    check_config(config)
    check_readable(config)
    check_installed(config.train.loggers)
    check_splits(config.data)
    check_model(config.model, config.data.canvas)
    check_best(config)
    if not automatic:  # which compiles the step, and names a canvas that would fit
        check_memory(config)
    check_shared(config, "data", "evaluation")
    if not (run / "checkpoints").exists():
        check_pretrained(config)
    if config != written:
        say_first(scaled_line(written, config))
    return config
