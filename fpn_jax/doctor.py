"""Finds what is wrong with a data set, and how it fits a detector.

    fpn-jax doctor my_data
    fpn-jax doctor my_data --splits train val --html report.html

Every image of the splits is read. Defects of files, boxes, masks and ids are printed,
with duplicate images and images that two splits share. Notes are facts to look at, such
as classes that no image has; they are no defects.

A report on the first split follows: its classes and sizes, the canvas that fits the
images, the level of the pyramid that suits each box, the boxes that no anchor covers,
anchors that would cover more of them, and the level that features are pooled from. The
last line is a command that trains a detector on this data.

Exit status: 0 nothing is wrong, 1 defects were found, 2 wrong input.
"""

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console

from fpn_jax.command_line import Positional, arg, check_output, parse, user_errors
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Source
from fpn_jax.data.formats.splits import names_of
from fpn_jax.data.sources import open_source
from fpn_jax.examination.augmented import augmented_sections, every_transform
from fpn_jax.examination.canvas import boxes_on_canvas, canvas_line
from fpn_jax.examination.examine import Examination, all_defects, examine_splits
from fpn_jax.examination.levels import level_report
from fpn_jax.examination.page import defect_sections, with_pictures
from fpn_jax.examination.rehearsal import rehearse
from fpn_jax.examination.tables import class_table, defect_list, size_table
from fpn_jax.runtime import set_up
from fpn_jax.training.config import Config, check_canvas
from fpn_jax.training.config_file import load_config


@dataclass(frozen=True)
class Arguments:
    # Data set in any known form: its path, or digits.
    data: Positional[str]
    # Names of the splits, the one for training first. By default train, and validation
    # where the data set has it.
    splits: Annotated[tuple[str, ...] | None, arg(metavar="NAME …")] = None
    # Examine masks as well.
    masks: bool = False
    # Read COCO's annotations of persons, with their keypoints.
    keypoints: bool = False
    # Run whose detector and canvas the data is held against, by default the small
    # detector of digits.
    run: Path | None = None
    # Python file with your own classes, where the run has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False
    # Height and width that images are fitted into, by default the run's.
    canvas: tuple[int, int] | None = None
    # File for an HTML page with the same and pictures of the defects.
    html: Path | None = None
    # Training images that the page shows under each augmentation.
    show: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("doctor"):
        set_up()
        chosen = parse(Arguments, arguments, command="doctor", description=__doc__)
        check_output("html", chosen.html)
        defects = report(chosen)
    return 1 if defects else 0


def report(chosen: Arguments) -> int:
    """Prints the report, and returns the number of defects."""
    config = Config()
    if chosen.run:
        config = load_config(
            chosen.run,
            experiment=chosen.experiment,
            trust=chosen.trust,
            optimizer=False,
        )
    canvas = chosen.canvas or config.data.canvas
    check_canvas("canvas", canvas)
    if chosen.show < 0:
        raise ValueError(f"show must be 0 or more, got {chosen.show}")
    if chosen.show and not chosen.html:
        raise ValueError("show: pictures need a page, give --html FILE")
    console = Console(record=chosen.html is not None)
    say = partial(console.print, markup=False, soft_wrap=True)
    splits, missing = examine_splits(partial(_open, chosen), chosen.splits)
    for name, error in missing.items():
        say(f"{name}: {error}")
    found = all_defects(splits) + _refused(chosen, splits, config, canvas)
    defects = [(split, one) for split, one in found if not one.note]
    notes = [(split, one) for split, one in found if one.note]
    say(defect_list(defects) if defects else "no defects found")
    if notes:
        say(defect_list(notes, "note"))
    _print_boxes(console, splits, config, canvas)
    if not chosen.run and chosen.data != "digits":
        say(f"to train on it: {training_command(chosen, [*splits])}")
    if chosen.html:
        page = console.export_html(inline_styles=True)
        sound = next(iter(splits.values())).readable
        changes = every_transform(sound, canvas, masks=chosen.masks)
        sections = defect_sections(splits, defects + notes)
        sections += augmented_sections(sound, changes, chosen.show)
        chosen.html.write_text(with_pictures(page, sections), encoding="utf-8")
        say(f"the same with pictures is in {chosen.html}")
    return len(defects)


def training_command(chosen: Arguments, splits: Sequence[str]) -> str:
    """Returns a command that trains a detector on the data set.

    Without a split for validation the first one is measured.
    """
    model = "fasterrcnn_resnet50_fpn"
    if chosen.keypoints:
        model = "keypointrcnn_resnet50_fpn"
    elif chosen.masks:
        model = "maskrcnn_resnet50_fpn"
    first, second = splits[0], splits[min(1, len(splits) - 1)]
    words = ["--model", model, "--train.pretrained", model]
    words += ["--data.source", chosen.data]
    if first != "train":
        words += ["--data.train", first]
    if second not in names_of("validation"):
        words += ["--data.validation", second]
    return f"fpn-jax train {shlex.join(words)}"


def _open(chosen: Arguments, split: str) -> Source:
    return open_source(
        chosen.data,
        split,
        masks=chosen.masks,
        keypoints=chosen.keypoints,
        strict=False,
    )


def _refused(
    chosen: Arguments,
    splits: Mapping[str, Examination],
    config: Config,
    canvas: tuple[int, int],
) -> list[tuple[str, Defect]]:
    """Returns the defects that stop a run from making batches of the first split."""
    name, first = next(iter(splits.items()))
    data = dataclasses.replace(config.data, source=chosen.data, canvas=canvas)
    refused = rehearse(first, data, masks=chosen.masks, keypoints=chosen.keypoints)
    return [(name, defect) for defect in refused]


def _print_boxes(
    console: Console,
    splits: Mapping[str, Examination],
    config: Config,
    canvas: tuple[int, int],
) -> None:
    """Prints the classes of all splits; of the first how its boxes fit the detector."""
    training = next(iter(splits.values()))
    of_images = boxes_on_canvas(training, canvas)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *of_images])
    console.print(
        f"{training.source.name}: {len(boxes)} boxes in {len(of_images)} images, "
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
        for part in level_report(boxes, config.model, canvas):
            console.print(part, soft_wrap=isinstance(part, str))


if __name__ == "__main__":
    sys.exit(main())
