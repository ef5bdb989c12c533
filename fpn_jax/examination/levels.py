"""What each level of a detector's pyramid has to do with boxes on a canvas."""

from collections.abc import Iterator

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from fpn_jax.detectors.contract import Pool, facts
from fpn_jax.detectors.features import first_stage_grids
from fpn_jax.examination.anchor_coverage import (
    coverage,
    placed_anchors,
    with_better_anchors,
)
from fpn_jax.examination.tables import anchor_table, level_table
from fpn_jax.ops.roi_align import assign_levels


def level_report(
    boxes: np.ndarray, model: nn.Module, canvas: tuple[int, int]
) -> Iterator[str | Table]:
    """Yields lines and tables: anchors that cover the boxes, levels of their features.

    `boxes [N, 4]`, at least one, are in pixels of the canvas.
    """
    of_model = facts(model)
    if of_model.first_stage is None:
        yield "the detector has no anchors of given sizes and ratios"
    else:
        yield from _anchors(boxes, of_model.first_stage, model, canvas)
    if of_model.pool is not None:
        yield _pooled(boxes, of_model.pool)


def _anchors(
    boxes: np.ndarray, head: nn.Module, model: nn.Module, canvas: tuple[int, int]
) -> Iterator[str | Table]:
    """Yields what the anchors of the head cover, better ones, and what these cover."""
    grids = first_stage_grids(model, canvas)
    yield anchor_table(boxes, coverage(boxes, placed_anchors(head, grids, canvas)))
    better = with_better_anchors(head, grids, canvas, boxes)
    yield (
        f"anchors that suit these boxes: sizes {_numbers(better.anchor_sizes)}, "
        f"ratios {_numbers(better.anchor_ratios)}"
    )
    yield anchor_table(boxes, coverage(boxes, placed_anchors(better, grids, canvas)))


def _pooled(boxes: np.ndarray, pool: Pool) -> Table:
    level = assign_levels(
        jnp.asarray(boxes), pool.levels, canonical_size=pool.canonical_size
    )
    return level_table(boxes, np.asarray(level), pool.levels)


def _numbers(values: tuple) -> str:
    """The numbers as text; the numbers of one level are in brackets."""
    return " ".join(
        f"({_numbers(value)})" if isinstance(value, tuple) else f"{value:.3g}"
        for value in values
    )
