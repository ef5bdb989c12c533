"""Measures how well the anchors of a detector cover the boxes of a data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.ops.boxes import pairwise_iou

_AT_ONCE = 64  # boxes whose overlaps with all anchors are in memory
# The search for anchors: it looks at so many boxes, and changes a size or a ratio by
# these factors. An overlap above 0.7 makes an anchor positive: more is worth nothing.
_SEARCHED = 256
_FACTORS = (2**0.5, 2**0.25, 2**0.125)
_ENOUGH = 0.7
_GAIN = 1e-3  # of the mean overlap; less is not worth a change


@dataclass(frozen=True)
class Coverage:
    """The anchor that overlaps each box most."""

    levels: tuple[int, ...]  # finest first
    num_anchors: tuple[int, ...]  # of each level
    level: np.ndarray  # [N] int, of the best anchor
    iou: np.ndarray  # [N] float32, with it


def coverage(boxes: np.ndarray, anchors: Mapping[int, np.ndarray]) -> Coverage:
    """Returns the anchor that overlaps each of `boxes [N, 4]` most, and how much.

    Boxes are in pixels of the canvas of the anchors. Of anchors that tie, the first of
    the finest level counts.
    """
    levels = tuple(anchors)
    every = jnp.concatenate([anchors[level] for level in levels])
    padded = np.pad(boxes, ((0, -len(boxes) % _AT_ONCE), (0, 0)))
    found = [_best(block, every) for block in padded.reshape(-1, _AT_ONCE, 4)]
    iou = np.concatenate([np.zeros(0, np.float32), *(iou for iou, _ in found)])
    index = np.concatenate([np.zeros(0, int), *(index for _, index in found)])
    counts = tuple(len(anchors[level]) for level in levels)
    number = np.searchsorted(np.cumsum(counts), index, side="right")
    return Coverage(
        levels, counts, np.array(levels)[number[: len(boxes)]], iou[: len(boxes)]
    )


def with_better_anchors(
    head: nn.Module,
    grids: Mapping[int, tuple[int, int]],
    canvas: tuple[int, int],
    boxes: np.ndarray,
) -> nn.Module:
    """Tunes sizes and ratios by coordinate search; the number of anchors stays.

    A change of one size or ratio is kept where the mean over the boxes of their IoU
    with the best anchor, cut at 0.7, grows. At most 256 of the boxes are looked at.
    """
    rows = np.linspace(0, len(boxes) - 1, min(len(boxes), _SEARCHED)).astype(int)
    some = boxes[rows]

    def merit(head: nn.Module) -> float:
        found = coverage(some, head.places(grids, canvas=canvas))
        return float(np.minimum(found.iou, _ENOUGH).mean())

    best = merit(head)
    for factor in _FACTORS:
        improved = True
        while improved:
            improved = False
            for move in _moves(head):
                for change in (factor, 1 / factor):
                    other = move(head, change)
                    if (value := merit(other)) > best + _GAIN:
                        head, best, improved = other, value, True
    return head


def _moves(head: nn.Module) -> list[Callable[[nn.Module, float], nn.Module]]:
    """The changes of a head by a factor: all sizes, each size, each ratio."""

    def all_sizes(head, factor):
        sizes = tuple(
            tuple(size * factor for size in level) for level in head.anchor_sizes
        )
        return head.clone(anchor_sizes=sizes)

    def one_size(head, factor, *, level, k):
        sizes = [list(row) for row in head.anchor_sizes]
        sizes[level][k] *= factor
        return head.clone(anchor_sizes=tuple(map(tuple, sizes)))

    def one_ratio(head, factor, *, k):
        ratios = list(head.anchor_ratios)
        ratios[k] *= factor
        return head.clone(anchor_ratios=tuple(ratios))

    return [
        all_sizes,
        *(partial(one_ratio, k=k) for k in range(len(head.anchor_ratios))),
        *(
            partial(one_size, level=level, k=k)
            for level, sizes in enumerate(head.anchor_sizes)
            for k in range(len(sizes))
        ),
    ]


@jax.jit
def _best(boxes: jax.Array, anchors: jax.Array) -> tuple[jax.Array, jax.Array]:
    iou = pairwise_iou(boxes, anchors)
    return iou.max(axis=1), iou.argmax(axis=1)
