"""The boxes of a data set that each level of a detector's pyramid would train on."""

from collections.abc import Iterator

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from fpn_jax.detectors.contract import facts
from fpn_jax.detectors.features import first_stage_grids
from fpn_jax.examination.anchor_coverage import (
    coverage,
    with_better_anchors,
)
from fpn_jax.examination.tables import anchor_table, level_table
from fpn_jax.heads.roi_pool import RoIPool


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
    try:
        grids = first_stage_grids(model, canvas)
    except ValueError as error:  # of the user's, without a backbone or a neck
        yield str(error)
        return
    yield anchor_table(boxes, coverage(boxes, head.places(grids, canvas=canvas)))
    better = with_better_anchors(head, grids, canvas, boxes)
    yield (
        f"anchors that suit these boxes: sizes {_numbers(better.anchor_sizes)}, "
        f"ratios {_numbers(better.anchor_ratios)}"
    )
    yield anchor_table(boxes, coverage(boxes, better.places(grids, canvas=canvas)))


def _pooled(boxes: np.ndarray, pool: RoIPool) -> Table:
    level = np.asarray(pool.levels_of(jnp.asarray(boxes)))
    return level_table(boxes, level, pool.levels)


def _numbers(values: tuple) -> str:
    """The numbers as text; the numbers of one level are in brackets."""
    return " ".join(
        f"({_numbers(value)})" if isinstance(value, tuple) else f"{value:.3g}"
        for value in values
    )
