"""Finds objects in images and videos.

    fpn-jax predict runs/digits-1 photos --out found
    fpn-jax predict fasterrcnn_resnet50_fpn clip.mp4 --json found.json

A source is a file, a folder, a pattern such as 'a/*.jpg', a list of files (.txt), a zip
archive, a web address, a video, a stream (rtsp://…), the number of a camera, or - for
standard input. Each image is written into the output directory with the boxes, masks
and keypoints found in it, and each video as a video.

The picture of 1.jpg is 1.png, or 1-2.png where that name is taken. A photograph is
turned upright first, as its EXIF says, and boxes are in pixels of the upright picture.
An image that cannot be read is named, and the others are done. Ctrl-C ends a
prediction, and the results up to then are written.

Exit status: 0 done, 2 wrong input.
"""

import contextlib
import dataclasses
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fpn_jax.choices import check_count, check_fraction
from fpn_jax.command_line import (
    WRONG_INPUT,
    Positional,
    arg,
    check_output,
    check_writable,
    parse,
    user_errors,
)
from fpn_jax.runtime import set_up

if TYPE_CHECKING:
    import numpy as np

    from fpn_jax.inference.predictor import Predictor
    from fpn_jax.media.picture import Picture, Source
    from fpn_jax.results.names import OutputNames
    from fpn_jax.results.outputs import Output
    from fpn_jax.results.result import Result

# Share of a video's frames below which it is damaged; some headers count a few more.
_WHOLE = 0.9


@dataclass(frozen=True)
class Arguments:
    # Directory of a run, or the name of a published model.
    run: Positional[Path]
    # Files, folders, patterns, lists, archives, addresses, videos, cameras, or -.
    images: Annotated[Positional[tuple[str, ...]], arg(metavar="SOURCE …")]
    # Directory for pictures and videos.
    out: Path = Path("predictions")
    # Write pictures and videos with what was found.
    pictures: bool = True
    # File for the results in COCO's form.
    json: Path | None = None
    # File for a table with a row for each object.
    csv: Path | None = None
    # Directory for label files in the form of YOLO, one for each image.
    yolo: Path | None = None
    # Directory for a picture of each object, in a folder for each class.
    crops: Path | None = None
    # File for tasks of Label Studio with the objects as predictions.
    label_studio: Path | None = None
    # Lowest score of an object.
    score_threshold: float = 0.5
    # Names or labels of the classes that are wanted, by default all.
    classes: Annotated[tuple[str, ...], arg(metavar="NAME …")] = ()
    # IoU above which the lower of two boxes of a class is dropped, by default the
    # model's own.
    nms_threshold: float | None = None
    # Most objects of an image, by default the model's own.
    max_detections: int | None = None
    # Side in pixels of the squares that large images are cut into, for small objects.
    # By default images are looked at as a whole.
    tiles: int | None = None
    # Share of its side that a tile has in common with its neighbors.
    overlap: float = 0.2
    # Views that are looked at as well: flip,0.8,1.2 is the mirror image and two scales.
    tta: Annotated[str, arg(metavar="VIEWS")] = ""
    # Interval of the frames that are taken from a video; 1 takes all.
    every: int = 1
    # Checkpoint of the run: "best", "latest", or the number of a step.
    checkpoint: Annotated[str, arg(metavar="WHICH")] = "best"
    # Padding of images: "fixed" brings all to the canvas of the run, upright or turned,
    # and "exact" pads each as torchvision does, one program for each shape.
    canvas: Literal["fixed", "exact"] = "fixed"
    # Images that the network sees at once on a fixed canvas.
    batch_size: int = 8
    # Python file with your own classes, where the model has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False


COMMON = {
    "What is looked at": ("run", "images", "classes", "score_threshold"),
    "How": ("max_detections", "tiles", "tta", "every", "batch_size"),
    "What is written": (
        *("out", "pictures", "json", "csv", "yolo", "crops", "label_studio"),
    ),
}
"""The options that most predictions need, which `--help` shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("predict"):
        set_up()
        chosen = parse(
            Arguments,
            arguments,
            command="predict",
            description=__doc__,
            common=COMMON,
        )
        check(chosen)
        return predict(chosen)


def check(chosen: Arguments) -> None:
    """Raises ValueError for an option that means nothing, before anything is read."""
    from fpn_jax.inference.tiles import Tiles

    if not chosen.images:
        taken = ", and --classes takes every word after it" if chosen.classes else ""
        raise ValueError(f"images: none given, expected one or more files{taken}")
    check_fraction("score-threshold", chosen.score_threshold)
    if chosen.nms_threshold is not None:
        check_fraction("nms-threshold", chosen.nms_threshold)
    if chosen.max_detections is not None:
        check_count("max-detections", chosen.max_detections)
    check_count("every", chosen.every)
    check_count("batch-size", chosen.batch_size)
    Tiles(1 if chosen.tiles is None else chosen.tiles, chosen.overlap)
    for option in ("json", "csv", "label_studio"):
        check_output(option.replace("_", "-"), getattr(chosen, option))
    for option in ("out", "yolo", "crops"):
        folder = getattr(chosen, option)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"{option}: {str(folder)!r} is a file, not a directory")
        if folder is not None and (option != "out" or chosen.pictures):
            check_writable(option, folder)
    if chosen.yolo is not None and next(chosen.yolo.rglob("*.txt"), None):
        raise ValueError(
            f"yolo: {str(chosen.yolo)!r} holds .txt files, which could be written "
            "over: give another directory"
        )
    if chosen.run.is_file():
        raise ValueError(
            f"run: {str(chosen.run)!r} is a file, not the directory of a run, "
            "which comes before the images; fpn-jax serve takes exported files, too"
        )


def predict(chosen: Arguments) -> int:
    """Returns the exit status; does all images that can be read."""
    from fpn_jax.data.example import UnreadableImage
    from fpn_jax.media.sources import find_sources
    from fpn_jax.results.classes import class_labels
    from fpn_jax.results.names import OutputNames
    from fpn_jax.results.outputs import opened_outputs

    # Pictures of an earlier prediction are no photographs.
    ours = [folder for folder in (chosen.out, chosen.crops) if folder is not None]
    found = [
        source
        for given in chosen.images
        for source in find_sources(given, every=chosen.every, without=ours)
    ]
    predictor = load_predictor(chosen)
    if chosen.classes:
        class_labels(chosen.classes, predictor.categories)
    files = [file for source in found for file in source.files]
    status, names = 0, OutputNames(chosen.out, files)
    with opened_outputs(
        json=chosen.json,
        csv=chosen.csv,
        yolo=chosen.yolo,
        crops=chosen.crops,
        label_studio=chosen.label_studio,
        model=chosen.run.name,
        inputs=files,
    ) as outputs:
        for unopened in found:
            try:
                source = unopened.open()
            except UnreadableImage as error:
                complain(error)
                status = WRONG_INPUT
                continue
            if not predict_source(source, predictor, chosen, outputs, names):
                status = WRONG_INPUT
    return status


def load_predictor(chosen: Arguments) -> "Predictor":
    from fpn_jax.detectors.fields import values_of
    from fpn_jax.inference.loading import load

    predictor = load(
        chosen.run,
        chosen.checkpoint,
        nms_threshold=chosen.nms_threshold,
        # With some classes, the best are taken after the others are left out.
        max_detections=None if chosen.classes else chosen.max_detections,
        canvas=chosen.canvas,
        batch_size=chosen.batch_size,
        tiles=chosen.tiles,
        overlap=chosen.overlap,
        tta=chosen.tta,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    own = max(values_of(predictor.model, "max_detections").values(), default=0)
    if chosen.classes and (chosen.max_detections or 0) > own:
        predictor = predictor.with_thresholds(max_detections=chosen.max_detections)
    # The model's own threshold may be higher than the one that is asked for. Of a model
    # that cannot change it, what is lower is left out afterwards.
    try:
        return predictor.with_thresholds(score_threshold=chosen.score_threshold)
    except ValueError:
        return predictor


def predict_source(
    source: "Source",
    predictor: "Predictor",
    chosen: Arguments,
    outputs: "Sequence[Output]",
    names: "OutputNames",
) -> bool:
    """Returns whether all pictures could be read.

    Says a line of each image, and one of a video.
    """
    from fpn_jax.media.progress_bar import progress_bar
    from fpn_jax.results.classes import counted

    unreadable: list[Exception] = []
    frames, objects, where = 0, 0, ""
    with progress_bar(source) as advance, drawing(source, chosen, names) as draw:
        for picture, result in results(source, predictor, unreadable):
            result = result.filter(
                classes=chosen.classes or None, score_threshold=chosen.score_threshold
            )[: chosen.max_detections]
            result = dataclasses.replace(result, path=picture.name)
            for output in outputs:
                output.add(picture.name, picture.place, result)
            where = draw(picture, result)
            frames, objects = frames + 1, objects + len(result)
            if source.frame_rate is None:
                said = counted(result.class_names)
                if not len(result):
                    said += f" with scores from {chosen.score_threshold:g}"
                print(f"{picture.name}: {said}{where}")
            advance()
    if source.frame_rate is not None:
        print(f"{source.name}: {frames} frames, {objects} objects{where}")
    if source.frame_rate is not None and frames < _WHOLE * (source.total or 0):
        complain(f"{source.name}: damaged, {frames} of {source.total} frames")
        return False
    return not unreadable


def results(
    source: "Source", predictor: "Predictor", unreadable: list[Exception]
) -> "Iterator[tuple[Picture, Result]]":
    """Yields the pictures that can be read with what is in them, and names the others.

    Pictures are decoded while the network runs.
    """
    from fpn_jax.media.decoding import decoded

    waiting: deque[Picture] = deque()

    def tell(error: Exception) -> None:
        complain(error)
        unreadable.append(error)

    def images() -> "Iterator[np.ndarray]":
        ahead = 1 if source.live else 2 * predictor.batch_size
        for picture, image in decoded(source.pictures, ahead=ahead, unreadable=tell):
            waiting.append(picture)
            yield image

    if source.live or predictor.padding == "exact":
        each = map(predictor, images())  # one by one
    else:
        each = predictor.each(images())
    for result in each:
        yield waiting.popleft(), result


@contextlib.contextmanager
def drawing(
    source: "Source", chosen: Arguments, names: "OutputNames"
) -> "Iterator[Callable[[Picture, Result], str]]":
    """Gives a function that draws a result, and returns ", " and where that went."""
    from fpn_jax.media.video import Video
    from fpn_jax.visualize.pictures import save_image

    if not chosen.pictures:
        yield lambda picture, result: ""
    elif source.frame_rate is not None and source.place is not None:
        path = names.path(source.place, ".mp4")
        with Video(path, source.frame_rate, live=source.live) as video:

            def add(picture: "Picture", result: "Result") -> str:
                video.add(result.plot())
                return f", {path}"

            yield add
    else:

        def save(picture: "Picture", result: "Result") -> str:
            path = names.path(picture.place, ".png")
            save_image(path, result.plot())
            return f", {path}"

        yield save


def complain(error: Exception | str) -> None:
    print(f"fpn-jax predict: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
