"""Finds objects in images: predict RUN IMAGE|FOLDER… [--out DIR] [--json FILE]

Writes each image with the boxes, masks and keypoints found in it into DIR, and all of
them as COCO results into FILE. The picture of 1.jpg is 1.png, or 1-2.png where that is
another's. A photograph is turned upright first, as its EXIF says: boxes are in pixels
of the upright picture. An image that cannot be read is named, the others are done.
Images go through the network in batches, each on the canvas of the run, upright or
turned; `--canvas exact` takes them one by one as torchvision does. Exit status: 0 done,
2 wrong input.
"""

import json
import operator
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from fpn_jax.choices import check_fraction
from fpn_jax.command_line import WRONG_INPUT, check_output, parse, user_errors
from fpn_jax.runtime import set_up

if TYPE_CHECKING:
    import numpy as np

    from fpn_jax.inference.predictor import Predictor
    from fpn_jax.types import Detections

_BATCHES = 2  # read before predicting, so that images of one canvas fill a batch


@dataclass(frozen=True)
class Arguments:
    # Directory of a run, or the name of a published model.
    run: tyro.conf.Positional[Path]
    images: tyro.conf.Positional[tuple[Path, ...]]  # files, and folders of them
    out: Path = Path("predictions")  # directory for the pictures
    json: Path | None = None  # file for the results
    score_threshold: float = 0.5  # in the pictures and in the file
    checkpoint: str = "best"  # or "latest", or the number of a step
    # Padding of the images: few programs, or torchvision's for each shape.
    canvas: Literal["fixed", "exact"] = "fixed"
    batch_size: int = 8  # images that the network sees at once on a fixed canvas
    # Python file that defines your own classes, where the run has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment that the run keeps.
    trust: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("predict"):
        set_up()
        chosen = parse(Arguments, arguments, command="predict", description=__doc__)
        if not chosen.images:
            raise ValueError("images: none given, expected one or more files")
        check_fraction("score-threshold", chosen.score_threshold)
        check_output("json", chosen.json)
        if chosen.out.exists() and not chosen.out.is_dir():
            raise ValueError(f"out: {str(chosen.out)!r} is a file, not a directory")
        if chosen.run.is_file():
            raise ValueError(
                f"run: {str(chosen.run)!r} is a file, not the directory of a run, "
                "which comes before the images"
            )
        return predict(chosen)


def predict(chosen: Arguments) -> int:
    """Returns the exit status; does all images that can be read."""
    from fpn_jax.inference.loading import load

    images = [*image_files(chosen.images)]
    predictor = load(
        chosen.run,
        chosen.checkpoint,
        canvas=chosen.canvas,
        batch_size=chosen.batch_size,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    status, results = 0, []
    files = [*zip(images, picture_paths(images, chosen.out), strict=True)]
    at_once = _BATCHES * chosen.batch_size if chosen.canvas == "fixed" else 1
    for start in range(0, len(files), at_once):
        some = files[start : start + at_once]
        read = [*decoded(some)]
        if len(read) < len(some):
            status = WRONG_INPUT
        each = predictor.each([image for *_, image in read])
        for (path, picture, image), found in zip(read, each, strict=True):
            found = above(found, chosen.score_threshold)
            results += written(path, picture, image, found, predictor)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{len(results)} objects in {chosen.json}")
    return status


def image_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the files, and for a folder the images in it, by name.

    Raises ValueError for a folder without images; those in its folders do not count.
    """
    from fpn_jax.data.formats.clutter import is_clutter
    from fpn_jax.data.image import IMAGE_SUFFIXES

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_SUFFIXES and not is_clutter(file.name)
        ]
        if not found:
            kinds = " ".join(IMAGE_SUFFIXES)
            raise ValueError(f"images: no file in {str(path)!r} is one of {kinds}")
        yield from found


def decoded(
    files: Iterable[tuple[Path, Path]],
) -> "Iterator[tuple[Path, Path, np.ndarray]]":
    """Yields the files with their images; says a line of what cannot be read."""
    from fpn_jax.data.example import UnreadableImage
    from fpn_jax.data.given_images import read_image

    for path, picture in files:
        try:
            yield path, picture, read_image(path)
        except UnreadableImage as error:
            print(f"fpn-jax predict: {error}", file=sys.stderr)


def written(
    path: Path,
    picture: Path,
    image: "np.ndarray",
    found: "Detections",
    predictor: "Predictor",
) -> list[dict]:
    """Writes the picture of an image, says what is in it, and returns its results."""
    from fpn_jax.evaluation.records import image_results
    from fpn_jax.visualize.drawing import draw_detections
    from fpn_jax.visualize.pictures import save_image

    categories = predictor.categories
    names = [category.name for category in categories]
    skeleton = predictor.skeleton
    save_image(picture, draw_detections(image, found, names=names, skeleton=skeleton))
    found_names = [names[label] for label in found.labels]
    print(f"{path}: {counted(found_names)}, {picture}")
    rows = zip(found_names, image_results(found, categories), strict=True)
    return [{"image": str(path), **row, "category": name} for name, row in rows]


def above(found: "Detections", score_threshold: float) -> "Detections":
    """Returns one image's detections of at least this score."""
    import jax

    rows = found.scores >= score_threshold
    return jax.tree.map(operator.itemgetter(rows), found)


def picture_paths(images: Sequence[Path], out: Path) -> list[Path]:
    """Returns a path in `out` for each image, all different, and none an image's."""
    pictures, taken = [], {path.resolve() for path in images}
    for path in images:
        picture, number = out / f"{path.stem}.png", 2
        while picture.resolve() in taken:
            picture, number = out / f"{path.stem}-{number}.png", number + 1
        taken.add(picture.resolve())
        pictures.append(picture)
    return pictures


def counted(names: Sequence[str]) -> str:
    """Returns how many there are of each name, as "3 objects (2 cat, 1 dog)"."""
    counts = Counter(names).most_common()
    listed = ", ".join(f"{number} {name}" for name, number in counts)
    return f"{len(names)} objects ({listed})" if names else "0 objects"


if __name__ == "__main__":
    sys.exit(main())
