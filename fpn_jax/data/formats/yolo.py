"""Ultralytics' form of data sets, a YAML file and texts of labels, as a source."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from etils import epath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.annotation_problems import Tolerance
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import NoSuchSplit, find_split
from fpn_jax.data.formats.text_file import decoded_text, numbered_lines
from fpn_jax.data.formats.yolo_images import (
    absolute_path,
    label_files,
    listed_images,
    relative_name,
)
from fpn_jax.data.formats.yolo_lines import LineForm, object_of_line
from fpn_jax.data.formats.yolo_settings import YoloSettings, read_yolo_settings

# The names of its file in the folder of a data set; the last two are FiftyOne's.
_FILE_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

_TOLERANCE = Tolerance(share=0.01)  # As Ultralytics' trainers have it.


def is_yolo(path: epath.PathLike, split: str) -> bool:
    """Whether a path is a YAML file, or a folder that holds `data.yaml`."""
    return _yaml_file(path).is_file()


def open_yolo(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """The examples of a split of a YOLO data set, as Ultralytics finds them.

    `path` is its YAML file, or the folder that holds it as `data.yaml`: `names`, and
    for each split a folder of images, a text file that lists them, or a list of these,
    relative to `path` there or to the file. The objects of `images/a.jpg` are the lines
    of `labels/a.txt`, where `labels` takes the place of the last folder `images` in the
    whole path: a class and x, y of the center, width and height; or the points of a
    polygon, from which come box and mask; with `kpt_shape` the box and the keypoints.
    All are shares of the image. An image without such a file, or with an empty one, has
    no objects; a warning says so where no image has one.

    Keypoints, which come asked for or not, are named a left and a right one where
    `flip_idx` exchanges them.

    Raises:
        ValueError: if a file is missing or of another form, there is no such split, or
            a line is wrong; see `AnnotatedImages`.
    """
    path = _yaml_file(path)
    settings = read_yolo_settings(path)
    if not settings.splits:
        raise NoSuchSplit(f"{path}: has no split {split!r}, nor another one")
    split = find_split(split, list(settings.splits))
    root = absolute_path(settings.root)
    folder = Folder(root)
    listed = listed_images(root, settings.splits[split], f"{path}: {split}")
    if not listed.names:
        further = f" ({listed.notes[0]})" if listed.notes else ""
        raise ValueError(f"{path}: {split}: no images there{further}")
    ids = image_ids([PurePosixPath(name).stem for name in listed.names])
    rows = [
        image_row(folder, name, i, upright=True)
        for i, name in zip(ids, listed.names, strict=True)
    ]
    objects, defects = _annotations(path, root, rows, settings)
    return AnnotatedImages(
        f"{path}, {split}",
        {
            "images": rows,
            "categories": [
                {"id": i, "name": name, **_keypoints(settings.flip)}
                for i, name in settings.names.items()
            ],
            "annotations": objects,
        },
        folder,
        masks=masks,
        strict=strict,
        tolerance=_TOLERANCE,
        defects=[*listed.notes, *defects],
    )


def _yaml_file(path: epath.PathLike) -> epath.Path:
    path = epath.Path(path).expanduser()
    if path.suffix.lower() in (".yaml", ".yml"):
        return path
    there = [path / name for name in _FILE_NAMES if (path / name).is_file()]
    return there[0] if there else path / _FILE_NAMES[0]


def _annotations(
    path: epath.Path, root: str, rows: Sequence[dict], settings: YoloSettings
) -> tuple[list[dict], list[Defect]]:
    """The annotations of all images in COCO's form; defects of lines, and notes."""
    form = LineForm(settings.names, settings.points)
    objects, defects, places = [], [], []
    beside = absolute_path(path.parent)
    folders: dict[str, list[str]] = {}
    owners: dict[str, str] = {}  # the first image of each file of labels
    unsized: list[str] = []  # images whose objects have no place in pixels
    for row in rows:
        image = absolute_path(root, row["file_name"])
        places = list(label_files(image, folders))
        found = next(filter(None, map(_opened, places)), None)
        if found is None:
            continue
        place, data = found
        shown = relative_name(place, beside)
        # Images of one stem share their labels.
        owner = owners.setdefault(place, row["file_name"])
        if row["height"] is None:
            unsized += [row["file_name"]] if data.strip() else []
            continue
        further = "" if owner == row["file_name"] else f" for {row['file_name']}"
        for line, thing in _lines(data, shown, row, form):
            if isinstance(thing, dict):
                own = {"id": f"{line}{further}", "image_id": row["id"]}
                objects.append(own | thing)
            else:
                defects.append(Defect("line wrong", line, thing, row["file_name"]))
    if unsized:
        reason = (
            f"the objects of {len(unsized)} have no size in pixels, since these are "
            f"unreadable, and no figure counts them: the first is {unsized[0]}"
        )
        defects.append(Defect("objects not counted", "images", reason, note=True))
    if rows and not owners:
        reason = (
            f"none of {len(rows)} has a file of labels; the last looked for is "
            f"{places[0]}"
        )
        defects.append(Defect("no labels", "images", reason, note=True))
    return objects, defects


def _opened(place: str) -> tuple[str, bytes] | None:
    try:
        return place, epath.Path(place).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lines(
    data: bytes, file: str, image: dict, form: LineForm
) -> Iterator[tuple[str, dict | str]]:
    """Yields the place of each line with its object, or with its problem."""
    try:
        lines = list(numbered_lines(decoded_text(data, file)))
    except ValueError as error:
        yield file, str(error).removeprefix(f"{file}: ")
        return
    for number, line in lines:
        try:
            thing = object_of_line(line, (image["height"], image["width"]), form)
        except ValueError as error:
            thing = str(error)
        yield f"line {number} of {file}", thing


def _keypoints(flip: Sequence[int]) -> dict:
    """The fields of keypoints, whose names tell left from right where they change."""
    names = [
        f"point {i}" if i == j else f"{'left' if i < j else 'right'} {min(i, j)}"
        for i, j in enumerate(flip)
    ]
    return {"keypoints": names, "flip_indices": list(flip)} if names else {}
