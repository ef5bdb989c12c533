"""Finds objects in images: predict RUN IMAGE… [--out DIR] [--json FILE]

Writes each image with the boxes, masks and keypoints found in it into DIR, and all of
them as COCO results into FILE. The picture of 1.jpg is 1.png, or 1-2.png where that is
another's. An image that cannot be read is named, the others are done. Exit status: 0
done, 2 wrong input.
"""

import json
import operator
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from fpn_jax.command_line import WRONG_INPUT, parse, user_errors
from fpn_jax.runtime import set_up


@dataclass(frozen=True)
class Arguments:
    run: tyro.conf.Positional[Path]  # directory written by training
    images: tyro.conf.Positional[tuple[Path, ...]]  # files
    out: Path = Path("predictions")  # directory for the pictures
    json: Path | None = None  # file for the results
    score_threshold: float = 0.5  # in the pictures and in the file
    checkpoint: str = "best"  # or "latest", or the number of a step
    experiment: Path | None = None  # defines the classes that are not of fpn_jax
    trust: bool = False  # take them from the copy that the run keeps


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up()
    with user_errors("predict"):
        chosen = parse(Arguments, arguments, command="predict", description=__doc__)
        if not chosen.images:
            raise ValueError("images: none given, expected one or more files")
        if not 0 <= chosen.score_threshold <= 1:
            raise ValueError(
                f"score-threshold: {chosen.score_threshold} given, must be 0 … 1"
            )
        chosen.out.mkdir(parents=True, exist_ok=True)
        if chosen.json is not None and not chosen.json.parent.is_dir():
            raise ValueError(f"json: no directory {str(chosen.json.parent)!r}")
        return predict(chosen)


def predict(chosen: Arguments) -> int:
    """Returns the exit status; does all images that can be read."""
    import jax

    from fpn_jax.data.image import decode_image
    from fpn_jax.evaluation.records import image_results
    from fpn_jax.inference import load
    from fpn_jax.visualize.drawing import draw_detections
    from fpn_jax.visualize.pictures import save_image

    detector = load(
        chosen.run,
        chosen.checkpoint,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    names = [category.name for category in detector.categories]
    status, results = 0, []
    pictures = picture_paths(chosen.images, chosen.out)
    for path, picture in zip(chosen.images, pictures, strict=True):
        try:
            image = decode_image(path.read_bytes(), str(path))
        except (ValueError, OSError) as error:
            print(f"fpn-jax predict: {error}", file=sys.stderr)
            status = WRONG_INPUT
            continue
        found = detector(image)
        above = operator.itemgetter(found.scores >= chosen.score_threshold)
        found = jax.tree.map(above, found)
        drawn = draw_detections(image, found, names=names, skeleton=detector.skeleton)
        save_image(picture, drawn)
        found_names = [names[label] for label in found.labels]
        print(f"{path}: {counted(found_names)}, {picture}")
        results += [
            {"image": str(path), **row, "category": name}
            for name, row in zip(
                found_names, image_results(found, detector.categories), strict=True
            )
        ]
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{len(results)} objects in {chosen.json}")
    return status


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
