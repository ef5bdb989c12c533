"""Writes a data set into a few large files that are fast to read.

    fpn-jax prepare my_data my_data_prepared --splits train val

The output is a directory of TFDS, of array_record files that hold every image as it is,
its boxes, and its masks and keypoints where asked for. Training on it gives the batches
that the data set gives, without the millions of small files that a network drive is
slow to open. Images that cannot be read are named and left out.

Exit status: 0 done, 2 wrong input.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

import numpy as np

from fpn_jax.command_line import Positional, arg, parse, user_errors
from fpn_jax.data.example import Example, UnreadableImage
from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.tfds import is_tfds
from fpn_jax.data.formats.tfds_writer import write_tfds
from fpn_jax.data.sources import open_source


@dataclass(frozen=True)
class Arguments:
    # Data set in the form of COCO, Pascal VOC, YOLO or CSV.
    source: Annotated[Positional[str], arg(metavar="DATA")]
    # Directory to make.
    out: Positional[Path]
    # Names of the splits to write.
    splits: Annotated[tuple[str, ...], arg(metavar="NAME …")] = ("train", "validation")
    # Write masks as well.
    masks: bool = False
    # Read COCO's annotations of persons, with their keypoints.
    keypoints: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("prepare"):
        chosen = parse(Arguments, arguments, command="prepare", description=__doc__)
        prepare(chosen)
    return 0


def prepare(chosen: Arguments) -> None:
    """Writes the data set and prints its place."""
    if chosen.out.exists():
        raise ValueError(f"out: {str(chosen.out)!r} exists already")
    if not chosen.out.absolute().parent.is_dir():
        raise ValueError(f"out: no directory {str(chosen.out.parent)!r}")
    if chosen.source == "digits" or is_tfds(chosen.source, ""):
        raise ValueError(f"source: {chosen.source!r} is prepared already")
    options = {"masks": chosen.masks, "keypoints": chosen.keypoints}
    sources = {
        # Every other form is read as COCO's annotations.
        split: cast(AnnotatedImages, open_source(chosen.source, split, **options))
        for split in chosen.splits
    }
    first, *others = sources.values()
    for source in (first, *others):
        if source.categories != first.categories:
            raise ValueError(
                f"splits: {source.name} has other categories than {first.name}"
            )
    written = Counter()
    write_tfds(
        chosen.out,
        {name: _examples(source, written) for name, source in sources.items()},
        name="prepared",
        version="1.0.0",
        description=f"Prepared from {chosen.source}.",
        categories=first.categories,
        keypoint_spec=first.keypoint_spec,
        masks=chosen.masks,
    )
    print(f"{written.total()} images are in {chosen.out}")


def _examples(
    source: AnnotatedImages, written: Counter
) -> Iterator[tuple[Example, bytes]]:
    """Yields the examples that can be read, and counts them."""
    for index in range(len(source)):
        try:
            example, data = source.with_file(index)
            # Boxes as they are annotated, beyond the image too, for the figures.
            low, sides = np.split(source.truth(index).xywh, 2, axis=1)
            boxes = np.concatenate([low, low + sides], axis=1).astype(np.float32)
            yield replace(example, boxes=boxes), data
            written[source.name] += 1
        except UnreadableImage as error:
            print(f"left out: {error}", file=sys.stderr)
    if not written[source.name]:
        raise ValueError(f"{source.name}: no image of {len(source)} can be read")


if __name__ == "__main__":
    sys.exit(main())
