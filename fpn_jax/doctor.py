"""Looks at a data set: doctor DATASET [--splits NAME …] [--run RUN] [--html PAGE]

Reads every image of the splits and prints what is wrong: files, boxes, masks and ids,
what is there twice, images of two splits. Then, of the first split, classes and sizes,
the canvas that fits the images, which level of the pyramid has the anchor that suits
each box best, how many boxes no anchor covers and anchors that would cover more, and
which level features are pooled from. The detector is that of a run, by default that of
the default job, and the images are fitted into its canvas.
Exit status: 0 nothing is wrong, 1 defects were found, 2 wrong input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console

from fpn_jax.command_line import parse, user_errors
from fpn_jax.data.formats.splits import NoSuchSplit
from fpn_jax.data.sources import open_source
from fpn_jax.data.transforms import fit_scale
from fpn_jax.examination.anchor_coverage import (
    anchor_head,
    coverage,
    head_outputs,
    with_better_anchors,
)
from fpn_jax.examination.examine import Examination, Subset, examine, shared_defects
from fpn_jax.examination.page import (
    augmented_sections,
    defect_sections,
    with_pictures,
)
from fpn_jax.examination.tables import (
    anchor_table,
    class_table,
    defect_list,
    level_table,
    size_table,
)
from fpn_jax.ops.roi_align import assign_levels
from fpn_jax.runtime import set_up
from fpn_jax.training.augmentation import every_transform
from fpn_jax.training.config import Config, check_canvas
from fpn_jax.training.config_file import load_config


@dataclass(frozen=True)
class Arguments:
    data: tyro.conf.Positional[str]  # "digits", or a path: see `data.source` of train
    # The first is the one for training. By default train, and validation if there.
    splits: tuple[str, ...] | None = None
    masks: bool = False  # examine masks too
    keypoints: bool = False  # COCO's persons with their keypoints
    run: Path | None = None  # whose detector and canvas; by default the default job's
    experiment: Path | None = None  # defines its classes that are not of fpn_jax
    trust: bool = False  # take them from the copy that the run keeps
    canvas: tuple[int, int] | None = None  # height, width; by default the run's
    html: Path | None = None  # where to write the same with pictures of the defects
    show: int = 0  # training images that the page shows under each augmentation


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("doctor"):
        set_up()
        chosen = parse(Arguments, arguments, command="doctor", description=__doc__)
        defects = report(chosen)
    return 1 if defects else 0


def report(chosen: Arguments) -> int:
    """Prints what it finds, and returns how many defects."""
    config = Config()
    if chosen.run:
        config = load_config(
            chosen.run, experiment=chosen.experiment, trust=chosen.trust
        )
    canvas = chosen.canvas or config.data.canvas
    check_canvas("canvas", canvas)
    if chosen.show and not chosen.html:
        raise ValueError("show: pictures need a page, give --html FILE")
    console = Console(record=chosen.html is not None)
    splits = examined_splits(chosen, console)
    defects = [(name, defect) for name, one in splits.items() for defect in one.defects]
    training = next(iter(splits.values()))
    for (_, first), (name, other) in combinations(splits.items(), 2):
        defects += [(name, defect) for defect in shared_defects(first, other)]
    if defects:
        console.print(defect_list(defects), markup=False, soft_wrap=True)
    else:
        console.print("no defects found")
    boxes_of_images = boxes_on_canvas(training, canvas)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *boxes_of_images])
    console.print(
        f"{training.source.name}: {len(boxes)} boxes in {len(boxes_of_images)} images, "
        f"on a canvas of {canvas[0]} x {canvas[1]} px",
        markup=False,
        soft_wrap=True,
    )
    if training.seen:
        console.print(canvas_line(training, canvas))
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if not solid.all():
        console.print(f"{(~solid).sum()} boxes without an area are left out below")
        boxes = boxes[solid]
    if len(boxes):
        console.print(class_table(splits))
        console.print(size_table(boxes))
        print_levels(console, boxes, config.model, canvas)
    if chosen.html:
        page = console.export_html(inline_styles=True)
        sections = defect_sections(splits, defects)
        sound = Subset(training.source, [one.index for one in training.seen])
        changes = every_transform(sound, canvas, masks=chosen.masks)
        sections += augmented_sections(sound, changes, chosen.show)
        chosen.html.write_text(with_pictures(page, sections), encoding="utf-8")
        console.print(
            f"the same with pictures is in {chosen.html}", markup=False, soft_wrap=True
        )
    return len(defects)


def examined_splits(chosen: Arguments, console: Console) -> dict[str, Examination]:
    """Returns the splits by their names, each walked through."""
    splits = {}
    for name in chosen.splits or ("train", "validation"):
        try:
            source = open_source(
                chosen.data,
                name,
                masks=chosen.masks,
                keypoints=chosen.keypoints,
                strict=False,
            )
        except NoSuchSplit as error:
            if chosen.splits or not splits:
                raise
            console.print(f"{name}: {error}", markup=False, soft_wrap=True)
            continue
        # A folder of one split gives the same for every name.
        if source.name not in {one.source.name for one in splits.values()}:
            splits[name] = examine(source)
    return splits


def boxes_on_canvas(
    examination: Examination, canvas: tuple[int, int]
) -> list[np.ndarray]:
    """Returns the boxes [N, 4] of each image's objects where training puts them.

    Crowd regions are not objects.
    """
    return [
        np.float32(fit_scale(one.size, canvas)) * one.boxes[~one.crowd]
        for one in examination.seen
    ]


def canvas_line(examination: Examination, canvas: tuple[int, int]) -> str:
    """Returns how much of the canvas the images fill, and one that they would more."""
    sizes = np.array([one.size for one in examination.seen])
    best = best_canvas(sizes, canvas[0] * canvas[1])
    line = f"images fill {filled(sizes, canvas):.0%} of the canvas"
    if filled(sizes, best) < filled(sizes, canvas) + 0.01:
        return line
    return f"{line}; {best[0]} x {best[1]} px: {filled(sizes, best):.0%}"


def best_canvas(sizes: np.ndarray, pixels: int) -> tuple[int, int]:
    """Returns the canvas of at most so many pixels that images fill most.

    Its sides are multiples of 32, as a pyramid's must be.
    """
    heights = range(32, pixels // 32 + 1, 32)
    canvases = [(height, pixels // height // 32 * 32) for height in heights]
    return max(
        (canvas for canvas in canvases if canvas[1]),
        key=lambda canvas: filled(sizes, canvas) * canvas[0] * canvas[1],
    )


def filled(sizes: np.ndarray, canvas: tuple[int, int]) -> float:
    """Returns the mean share of the canvas that fitted images [N, 2] cover."""
    scales = np.min(np.divide(canvas, sizes), axis=1)
    return float((scales**2 * sizes.prod(axis=1)).mean() / np.prod(canvas))


def print_levels(
    console: Console, boxes: np.ndarray, model: nn.Module, canvas: tuple[int, int]
) -> None:
    """Prints what each level has to do with the boxes, and anchors that suit them."""
    head = anchor_head(model)
    if head is None:
        console.print("the detector has no anchors of given sizes and ratios")
    else:
        outputs = head_outputs(model, canvas)
        console.print(
            anchor_table(boxes, coverage(boxes, head.anchors(outputs, canvas)))
        )
        better = with_better_anchors(head, outputs, canvas, boxes)
        console.print(
            f"anchors that suit these boxes: sizes {_numbers(better.anchor_sizes)}, "
            f"ratios {_numbers(better.anchor_ratios)}",
            soft_wrap=True,
        )
        console.print(
            anchor_table(boxes, coverage(boxes, better.anchors(outputs, canvas)))
        )
    box_head = getattr(model, "box_head", None)
    if box_head is not None:
        level = assign_levels(
            jnp.asarray(boxes), box_head.levels, canonical_size=box_head.canonical_size
        )
        console.print(level_table(boxes, np.asarray(level), box_head.levels))


def _numbers(values: tuple) -> str:
    """Returns the numbers, those of a level in brackets."""
    return " ".join(
        f"({_numbers(value)})" if isinstance(value, tuple) else f"{value:.3g}"
        for value in values
    )


if __name__ == "__main__":
    sys.exit(main())
