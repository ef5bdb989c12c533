"""A run, from its start or resumption to its last evaluation."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np

from fpn_jax.data.loader import training_batches
from fpn_jax.data.sources import open_source, readable
from fpn_jax.data.transforms import HorizontalFlip, ScaleJitter
from fpn_jax.evaluation.coco import coco_ground_truth
from fpn_jax.evaluation.evaluate import evaluate
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import Config, write_config
from fpn_jax.training.interruption import Interruption
from fpn_jax.training.metrics import MetricWriter
from fpn_jax.training.programs import make_programs
from fpn_jax.training.progress import ProgressDisplay
from fpn_jax.training.report import write_report
from fpn_jax.training.state import inference_variables, with_backbone
from fpn_jax.weights.convert import load_state_dict
from fpn_jax.weights.torchvision import load_backbone


class NonFiniteLoss(ArithmeticError):
    """A loss that is NaN or infinite; the message names the step and the term."""


class Stopped(Exception):
    """A run that Ctrl-C or SIGTERM ended after a save; `signal` is which."""

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


def train(config: Config, run: str | Path) -> dict[str, float]:
    """Returns the last validation metrics of the run in directory `run`.

    Continues from the latest checkpoint there, with the random numbers and batches of a
    run that never stopped. Raises `Stopped` after a signal, `NonFiniteLoss`.
    """
    run, period = Path(run), config.train
    programs = make_programs(config)
    batches = _open_training(config)
    source = open_source(config.data.validation, "validation")
    ground_truth = coco_ground_truth(readable(source), source.categories)
    validate = partial(
        evaluate,
        step=programs.evaluate,
        source=source,
        ground_truth=ground_truth,
        batch_size=config.evaluation.batch_size // jax.process_count(),
        canvas=config.data.canvas,
        max_boxes=config.data.max_boxes,
    )
    write_config(config, run)
    checkpoints = Checkpoints(run, keep=period.keep, best=config.evaluation.best)
    state = programs.init()
    first = checkpoints.latest_step or 0
    if first:
        state, position = checkpoints.restore(state, first)
        batches.set_state(position)
    elif period.pretrained is not None:
        weights = load_state_dict(period.pretrained)
        state = with_backbone(state, load_backbone(weights, config.model.backbone))
    losses = LossRecorder()
    writer = MetricWriter(run, first_step=first)
    display = ProgressDisplay(
        period.steps, first_step=first, batch_size=config.data.batch_size
    )
    display.say(f"{'continuing' if first else 'training'} {run} from step {first}")
    metrics = None
    with Interruption() as interruption, display:
        for step in range(first + 1, period.steps + 1):
            state, new_losses = programs.train(state, next(batches))
            losses.add(step, new_losses)
            if step == first + 1:  # the compilation is no part of the rate
                display.restart(step)
            stop = interruption.signal if step < period.steps else None
            evaluating = step == period.steps or step % period.evaluate_every == 0
            saving = evaluating or stop or step % period.save_every == 0
            if saving or step % period.log_every == 0:
                row = losses.flush()
                rate = display.step(step, row)
                writer.write(step, row | {"images_per_second": rate})
            metrics = None
            if evaluating and not stop:
                metrics, results = validate(inference_variables(state))
                display.metrics(step, metrics)
                writer.write(step, {f"validation/{k}": v for k, v in metrics.items()})
            if saving:
                checkpoints.save(state, batches.get_state(), metrics)
                display.restart(step)
            if stop:
                checkpoints.close()
                raise Stopped(f"stopped by {stop.name} at step {step}, saved", stop)
    checkpoints.close()
    if metrics is None:  # the run was complete before
        metrics, results = validate(inference_variables(state))
        display.metrics(first, metrics)
    writer.close()
    if jax.process_index() == 0:
        write_report(run, source, ground_truth, results)
    return metrics


class LossRecorder:
    """Numbers of the steps since the last flush, on the device until then."""

    def __init__(self):
        self._pending: list[tuple[int, dict[str, jax.Array]]] = []

    def add(self, step: int, numbers: dict[str, jax.Array]) -> None:
        self._pending.append((step, numbers))

    def flush(self) -> dict[str, float]:
        """Returns the mean losses and the last learning rate; waits for the device."""
        rows = jax.device_get(self._pending)
        self._pending.clear()
        for step, numbers in rows:
            for name, value in numbers.items():
                if not math.isfinite(value):
                    raise NonFiniteLoss(f"{name} is {value} at step {step}")
        last = rows[-1][1]
        means = {
            name: float(np.mean([numbers[name] for _, numbers in rows]))
            for name in last
        }
        return means | {"learning_rate": float(last["learning_rate"])}


def _open_training(config: Config) -> Iterator[dict[str, np.ndarray]]:
    data = config.data
    flip = [HorizontalFlip()] if data.flip else []
    return training_batches(
        open_source(data.train, "train"),
        batch_size=data.batch_size // jax.process_count(),
        canvas=data.canvas,
        max_boxes=data.max_boxes,
        transforms=[*flip, ScaleJitter(data.canvas, *data.scale_jitter)],
        seed=config.train.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        workers=data.workers,
        max_errors=data.max_errors,
    )
