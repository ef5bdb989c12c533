"""A run, from its start or resumption to its last evaluation."""

import logging
from collections.abc import Collection
from pathlib import Path
from signal import Signals
from typing import cast

import jax

from fpn_jax.training.calls import calls, programs_of, take
from fpn_jax.training.config import Config
from fpn_jax.training.ending import Stopped, TimeLimit, is_due, out_of_patience
from fpn_jax.training.failed_start import nothing_left
from fpn_jax.training.interruption import Interruption
from fpn_jax.training.metrics import closing
from fpn_jax.training.report import last_lines, write_curves, write_report
from fpn_jax.training.start import Started, begin
from fpn_jax.training.state import TrainState, inference_variables
from fpn_jax.training.step_numbers import NumberRecorder
from fpn_jax.visualize.pictures import halved

_log = logging.getLogger(__name__)


def train(
    config: Config,
    run: str | Path,
    *,
    experiment: str | Path | None = None,
    fitted: Collection[str] = (),
    typed: Collection[str] = (),
) -> dict[str, float]:
    """Returns the last validation metrics of the run in directory `run`.

    Continues from the latest checkpoint there, with the random numbers and batches of a
    run that never stopped.

    Args:
        experiment: file that the run keeps a copy of, by default the loaded one where
            the config has classes of it.
        fitted: names of settings that the data decides (`data_fit`).
        typed: names of settings, "train.steps", that stay as they are where a recipe is
            scaled to batches of another size.

    Raises `Stopped` after a signal, `NonFiniteLoss`.
    """
    limit = TimeLimit(config.train.hours)
    with nothing_left(Path(run)):
        started = begin(
            config, Path(run), experiment=experiment, fitted=fitted, typed=typed
        )
        return _train(started, limit)


def _train(started: Started, limit: TimeLimit) -> dict[str, float]:
    period, first, state = started.config.train, started.first, started.state
    batches, checkpoints = started.batches, started.checkpoints
    display, writer = started.display, started.writer
    numbers, compiled, metrics = NumberRecorder(period.max_skipped), set(), None
    step = first
    reason = out_of_patience(writer.rows, started.config)
    with Interruption() as interruption, display, closing(writer):
        if reason or _lacks_validation(started):
            metrics = validate(started, state, first, interruption)
            write_plots(started, first, metrics)
        for step, count in () if reason else calls(first, period):
            with display.waiting():
                taken = [next(batches) for _ in range(count)]
            needed = programs_of(taken, period.steps_per_call)
            if is_new := not needed <= compiled:
                compiled |= needed
                display.compiling("the training step")
            state, new_numbers = take(
                started.programs, state, taken, period.steps_per_call
            )
            numbers.add(step - count + 1, new_numbers)
            if is_new:
                display.restart(step)  # a compilation is no part of the rate
            over = step % period.log_every == 0 and limit.is_over()
            due = over or is_due(step, started.config)
            stop = interruption.signal is not None
            saving = due or stop or step % period.save_every == 0
            if saving or step % period.log_every == 0:
                row = numbers.flush()
                writer.write(step, row | display.step(step, row))
            metrics = None
            if due and not stop:
                metrics = validate(started, state, step, interruption)
            if saving:
                checkpoints.save(state, batches.get_state(), metrics)
                if due or stop:
                    try:
                        write_plots(started, step, metrics)
                    except OSError:  # a full disk; the checkpoint is worth more
                        checkpoints.wait()
                        raise
                display.restart(step)
            if saving and (signal := interruption.signal) is not None:
                checkpoints.close()
                raise Stopped(step, signal)
            if metrics is not None:
                reason = out_of_patience(writer.rows, started.config)
                if over:
                    reason = limit.line(started.run)
                if reason:
                    break
        best = checkpoints.best_step
        checkpoints.close()
        batches.close()
        if metrics is None:  # stopped in the last validation, again
            raise Stopped(step, cast(Signals, interruption.signal))
    if reason and step < period.steps:
        display.say(f"ended at step {step} of {period.steps}: {reason}")
    for line in last_lines(started.run, started.config, metrics, step, best):
        display.say(line)
    return metrics


def validate(
    started: Started, state: TrainState, step: int, interruption: Interruption
) -> dict[str, float] | None:
    """Returns the metrics of a state, shown and written; None after a signal.

    A run that goes on does not write the metrics of its first step again.
    """
    started.display.evaluating()
    metrics = started.validation(inference_variables(state), interruption)
    started.display.doing("")
    if metrics is not None:
        started.display.metrics(step, metrics)
        if step != started.first or not _is_validated(started):
            started.writer.write(step, validation_row(metrics))
    return metrics


def write_plots(started: Started, step: int, metrics: dict[str, float] | None) -> None:
    """Writes the plots of a run, on the first process; all where it was evaluated.

    A file that cannot be written ends the run; a plot that cannot be drawn is told.
    """
    if jax.process_index() != 0:
        return
    try:
        if metrics is None:
            write_curves(started.run, started.validation)
        else:
            samples = write_report(started.run, started.validation)
            started.writer.picture(step, "samples", halved(samples))
    except OSError:
        raise
    except Exception as error:
        _log.warning("The plots of step %d are not drawn: %r", step, error)


def _lacks_validation(started: Started) -> bool:
    """Whether the step that a run goes on from is to be evaluated (again).

    A complete run is, for its metrics; else one that a signal came to before.
    """
    first, steps = started.first, started.config.train.steps
    due = first > 0 and is_due(first, started.config)
    return first == steps or (due and not _is_validated(started))


def _is_validated(started: Started) -> bool:
    return started.writer.has(started.first, "AP")


def validation_row(metrics: dict[str, float]) -> dict[str, float]:
    """Returns the metrics for the file: `loss` is the training loss's name there."""
    return {
        f"validation/{name}" if name.startswith("loss") else name: value
        for name, value in metrics.items()
    }
