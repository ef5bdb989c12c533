"""Divides a run into calls of several steps, so that the host is not in the way."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from fpn_jax.training.config import TrainConfig
from fpn_jax.training.programs import Programs
from fpn_jax.training.state import TrainState


class Call(NamedTuple):
    """Steps that are done at once."""

    last: int  # number of its last step
    count: int


def calls(first: int, config: TrainConfig) -> Iterator[Call]:
    """Yields the calls of a run that goes on from step `first`.

    A call ends where losses are written, a state is saved or evaluated. So a run that
    goes on from there makes the calls that it would have made without the stop.
    """
    periods = (config.log_every, config.save_every, config.evaluate_every)
    step = first
    while step < config.steps:
        ends = [config.steps, *(every * (step // every + 1) for every in periods)]
        count = min(config.steps_per_call, min(ends) - step)
        step += count
        yield Call(step, count)


def take(
    programs: Programs, state: TrainState, batches: Sequence[dict], most: int
) -> tuple[TrainState, list[tuple[int, dict[str, jax.Array]]]]:
    """Returns the state after a step on each batch, and the numbers of the steps.

    Numbers of several steps are stacked, and come with how many they are. One call does
    `most` steps on batches of one shape. Others, at the end of a period or on turned
    canvases, are done one by one: one program more instead of one for each number.
    """
    if programs.train_many is not None and _together(batches, most):
        state, numbers = programs.train_many(state, batches)
        return state, [(most, numbers)]
    taken = []
    for batch in batches:
        state, numbers = programs.train(state, batch)
        taken.append((1, numbers))
    return state, taken


def programs_of(batches: Sequence[dict], most: int) -> set[tuple]:
    """Returns images' shape and number of steps of each program that `take` runs."""
    count = most if _together(batches, most) else 1
    return {(batch["images"].shape, count) for batch in batches}


def _together(batches: Sequence[dict], most: int) -> bool:
    shapes = {batch["images"].shape for batch in batches}
    return len(batches) == most > 1 and len(shapes) == 1
