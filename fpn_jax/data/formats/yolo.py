"""Ultralytics' form of data sets, a YAML file and texts of labels, as a source."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.annotation_problems import Tolerance
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import NoSuchSplit, find_split
from fpn_jax.data.formats.yolo_images import absolute_path, listed_images
from fpn_jax.data.formats.yolo_labels import labels_of
from fpn_jax.data.formats.yolo_lines import ROUNDING, LineForm
from fpn_jax.data.formats.yolo_settings import read_yolo_settings

# The names of its file in the folder of a data set; the last two are FiftyOne's.
_FILE_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

_TOLERANCE = Tolerance(share=ROUNDING)


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
    form = LineForm(settings.names, settings.points)
    beside = absolute_path(path.parent)
    objects, defects = labels_of(rows, form, root=root, beside=beside)
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


def _keypoints(flip: Sequence[int]) -> dict:
    """The fields of keypoints, whose names tell left from right where they change."""
    names = [
        f"point {i}" if i == j else f"{'left' if i < j else 'right'} {min(i, j)}"
        for i, j in enumerate(flip)
    ]
    return {"keypoints": names, "flip_indices": list(flip)} if names else {}
