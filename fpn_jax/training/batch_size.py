"""The batch size that `--data.batch-size auto` stands for."""

import math
from collections.abc import Callable
from dataclasses import replace

import jax

from fpn_jax.compilation import bytes_of, free_bytes
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
    """Returns how many images a step can take, and a line that says so.

    Steps of one and of two images a device are compiled. A line through what they need
    meets 0.8 of the free memory at the answer, which is compiled as well. It is at most
    `MOST` over all devices, and at most `images`, the size of the data set.

    Raises MemoryError, one line, where one image a device is too much.
    """
    devices = jax.devices()
    limit = _SHARE * free_bytes()
    needed = _remembering(
        lambda each: bytes_of(
            lower_step(with_batch_size(config, each * len(devices)), devices).compile()
        )
    )
    if needed(1) > limit:
        raise MemoryError(_too_large(config, needed(1), limit))
    most = max(min(MOST, images) // len(devices), 1)
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


def _remembering(function: Callable[[int], int]) -> Callable[[int], int]:
    known: dict[int, int] = {}

    def call(number: int) -> int:
        if number not in known:
            known[number] = function(number)
        return known[number]

    return call


def _too_large(config: Config, needed: float, limit: float) -> str:
    """Says which canvas of the same shape would fit: memory goes by its area."""
    ratio = math.sqrt(limit / needed)
    smaller = [
        max(int(side * ratio) // _SIDE * _SIDE, _SIDE) for side in config.data.canvas
    ]
    height, width = config.data.canvas
    return (
        f"a step of one image of {height}x{width} needs {needed / 1e9:.1f} GB, there "
        f"are {limit / 1e9:.1f} free; --data.canvas {smaller[0]} {smaller[1]} would fit"
    )
