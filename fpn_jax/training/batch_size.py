"""The batch size that `--data.batch-size auto` stands for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from fpn_jax.compilation import bytes_needed, free_bytes
from fpn_jax.training.config import Config
from fpn_jax.training.lowering import lower_step

MOST = 64
"""Images of the largest batch that is chosen.

Recipes are made for 16; with many more, a learning rate that grows in proportion makes
detectors diverge without a long warm-up (Goyal et al. 2017).
"""
_SHARE = 0.8  # of the memory; the rest is for evaluation and what others take
_SIDE = 32  # px; canvases are multiples


def with_batch_size(config: Config, size: int) -> Config:
    """Returns the config with batches of another size."""
    return replace(config, data=replace(config.data, batch_size=size))


def automatic_batch_size(config: Config, images: int) -> tuple[int, str]:
    """Returns how many images a step can take here, and a line that says so.

    At most `images`, the size of the data set. All processes get the same answer, by
    the least memory among them. Raises as `batch_size_for` does.
    """
    memory = _least(free_bytes())
    return batch_size_for(config, jax.devices(), memory, most=min(MOST, images))


def batch_size_for(
    config: Config, devices: Sequence[Any], memory: float, *, most: int = MOST
) -> tuple[int, str]:
    """Returns how many images a step can take on devices, and a line that says so.

    Steps of one and of two images a device are compiled. A line through what they need
    meets 0.8 of `memory`, the free bytes of a device, at the answer, which is compiled
    as well. It is at most `most` over all devices.

    Raises MemoryError, one line, where one image a device is too much, and ValueError
    where the memory is not known.
    """
    limit = _SHARE * memory
    needed = _remembering(
        lambda each: bytes_needed(
            lower_step(with_batch_size(config, each * len(devices)), devices)
        )
    )
    if not math.isfinite(limit) or not needed(1):
        raise ValueError(
            f"data.batch_size: {devices[0].platform} does not tell its memory; "
            "give a number in place of auto"
        )
    if needed(1) > limit:
        raise MemoryError(_too_large(config, devices, needed(1), limit))
    most = max(most // len(devices), 1)
    each = min(2, most)
    if each == 2 and needed(2) <= limit:
        slope = max(needed(2) - needed(1), 1)
        each = min(1 + int((limit - needed(1)) / slope), most)
    while each > 1 and needed(each) > limit:
        each = max(min(each - 1, int(each * limit / needed(each))), 1)
    size = each * len(devices)
    there = f"{limit / 1e9:.1f} GB, {_SHARE:.0%} of the free memory"
    return size, (
        f"batches of {size} images: a step needs {needed(each) / 1e9:.2f} of {there}"
    )


def _least(number: float) -> float:
    """Returns the least number that any process has."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return float(multihost_utils.process_allgather(np.array(number)).min())


def _remembering(function: Callable[[int], float]) -> Callable[[int], float]:
    known: dict[int, float] = {}

    def call(number: int) -> float:
        if number not in known:
            known[number] = function(number)
        return known[number]

    return call


def _too_large(
    config: Config, devices: Sequence[Any], needed: float, limit: float
) -> str:
    """Says which canvas of the same shape would fit, and compiles a step for it."""
    height, width = config.data.canvas
    fitting = _canvas_that_fits(config, devices, needed, limit)
    advice = (
        f"--data.canvas {fitting[0]} {fitting[1]} would fit"
        if fitting
        else "no canvas would fit: the model and its optimizer alone are too large"
    )
    return (
        f"a step of one image of {height}x{width} needs {needed / 1e9:.1f} GB, there "
        f"are {limit / 1e9:.1f} free; {advice}"
    )


def _canvas_that_fits(
    config: Config, devices: Sequence[Any], needed: float, limit: float
) -> tuple[int, int] | None:
    """Returns the first canvas of those tried, each smaller by the memory it lacks.

    Memory goes by the area, except for parameters and the optimizer's state.
    """
    while max(config.data.canvas) > _SIDE:
        ratio = min(math.sqrt(limit / needed), 0.95)
        height, width = (
            max(int(side * ratio) // _SIDE * _SIDE, _SIDE)
            for side in config.data.canvas
        )
        config = replace(config, data=replace(config.data, canvas=(height, width)))
        one = with_batch_size(config, len(devices))
        if (needed := bytes_needed(lower_step(one, devices))) <= limit:
            return height, width
    return None
