"""Looks at a data set: doctor DATASET [--split NAME] [--run RUN]

Prints which level of the pyramid has the anchor that suits each box best, which one its
features are pooled from, how many boxes no anchor covers, and anchors that would cover
more. The detector is that of a run, by default that of the default job, and the images
are fitted into its canvas. Exit status: 0 done, 2 wrong input.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.example import Source
from fpn_jax.data.sources import open_source, readable
from fpn_jax.data.transforms import fit_scale
from fpn_jax.evaluation.anchor_coverage import (
    Coverage,
    anchor_head,
    coverage,
    head_outputs,
    with_better_anchors,
)
from fpn_jax.heads.box import BoxHead
from fpn_jax.ops.roi_align import assign_levels
from fpn_jax.runtime import set_up
from fpn_jax.training.config import Config, check_canvas, load_config

_IOUS = (0.5, 0.7)  # COCO's lowest threshold, and an RPN's for a positive


@dataclass(frozen=True)
class Arguments:
    data: tyro.conf.Positional[str]  # "digits", or a path: see `data.source` of train
    split: str = "train"
    run: Path | None = None  # whose detector and canvas; by default the default job's
    canvas: tuple[int, int] | None = None  # height, width; by default the run's


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("doctor"):
        set_up()
        chosen = parse(Arguments, arguments, command="doctor", description=__doc__)
        examine(chosen)
    return 0


def examine(chosen: Arguments) -> None:
    """Prints what it finds."""
    config = load_config(chosen.run) if chosen.run else Config()
    canvas, model = chosen.canvas or config.data.canvas, config.model
    check_canvas("canvas", canvas)
    source = open_source(chosen.data, chosen.split)
    console = Console()
    of_images = list(boxes_on_canvas(source, canvas))
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *of_images])
    console.print(
        f"{source.name}: {len(boxes)} boxes in {len(of_images)} images, on a canvas of "
        f"{canvas[0]} x {canvas[1]} px"
    )
    if unreadable := len(source) - len(of_images):
        console.print(f"{unreadable} images cannot be read")
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if not solid.all():
        console.print(f"{(~solid).sum()} boxes without an area are left out below")
        boxes = boxes[solid]
    if not len(boxes):
        return
    head = anchor_head(model)
    if head is None:
        console.print("the detector has no anchors of given sizes and ratios")
    else:
        outputs = head_outputs(model, canvas)
        found = coverage(boxes, head.anchors(outputs, canvas))
        console.print(anchor_table(boxes, found))
        better = with_better_anchors(head, outputs, canvas, boxes)
        console.print(
            f"anchors that suit these boxes: sizes {_numbers(better.anchor_sizes)}, "
            f"ratios {_numbers(better.anchor_ratios)}"
        )
        found = coverage(boxes, better.anchors(outputs, canvas))
        console.print(anchor_table(boxes, found))
    box_head = getattr(model, "box_head", None)
    if box_head is not None:
        console.print(pooling_table(boxes, box_head))


def boxes_on_canvas(source: Source, canvas: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yields the boxes [N, 4] of each image's objects where training puts them.

    Crowd regions are not objects. Images that cannot be decoded are passed over.
    """
    for example in readable(source):
        scale = fit_scale(example.image.shape, canvas)
        yield scale * example.boxes[~example.crowd]


def anchor_table(boxes: np.ndarray, found: Coverage) -> Table:
    """Returns for each level its anchors, the boxes it suits, and those it misses."""
    table = _table(
        "level", "anchors", "boxes", "share", "sides, px", "IoU < 0.5", "IoU < 0.7"
    )
    for level, num_anchors in zip(found.levels, found.num_anchors, strict=True):
        here = found.level == level
        table.add_row(
            f"P{level}",
            str(num_anchors),
            *_counts(boxes, here),
            *(str(int((found.iou[here] < iou).sum())) for iou in _IOUS),
        )
    table.add_section()
    table.add_row(
        "all",
        str(sum(found.num_anchors)),
        *_counts(boxes, np.ones(len(boxes), bool)),
        *(
            f"{missed} ({missed / len(boxes):.1%})"
            for missed in (int((found.iou < iou).sum()) for iou in _IOUS)
        ),
    )
    return table


def pooling_table(boxes: np.ndarray, head: BoxHead) -> Table:
    """Returns how many boxes each level gives features for (FPN, eq. 1)."""
    level = assign_levels(
        jnp.asarray(boxes), head.levels, canonical_size=head.canonical_size
    )
    table = _table("pooled from", "boxes", "share", "sides, px")
    for name in head.levels:
        table.add_row(f"P{name}", *_counts(boxes, np.asarray(level) == name))
    return table


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def _counts(boxes: np.ndarray, rows: np.ndarray) -> tuple[str, str, str]:
    """Returns how many boxes, their share, and the middle 80 % of their sizes."""
    sides = np.sqrt((boxes[rows, 2:] - boxes[rows, :2]).prod(axis=1))
    low, high = np.quantile(sides, (0.1, 0.9)) if len(sides) else (0, 0)
    spread = f"{low:.0f} … {high:.0f}" if len(sides) else ""
    return str(len(sides)), f"{len(sides) / len(boxes):.1%}", spread


def _numbers(values: tuple) -> str:
    """Returns the numbers, those of a level in brackets."""
    return " ".join(
        f"({_numbers(value)})" if isinstance(value, tuple) else f"{value:.3g}"
        for value in values
    )


if __name__ == "__main__":
    sys.exit(main())
