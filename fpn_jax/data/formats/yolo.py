"""Ultralytics' form of data sets, a YAML file and texts of labels, as a source."""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath

import yaml
from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.annotation_problems import Tolerance
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import find_split
from fpn_jax.data.image import IMAGE_SUFFIXES

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
    """The examples of a split of a YOLO data set.

    `path` is its YAML file, or the folder that holds it as `data.yaml`: `names`, and
    for each split a folder of images, a text file that lists them, or a list of these,
    relative to `path` there or to the file. The objects of `images/a.jpg` are the lines
    of `labels/a.txt`: a class and x, y of the center, width and height; or the points
    of a polygon, from which come box and mask; with `kpt_shape` the box and the
    keypoints. All are shares of the image. An image without such a file, or with an
    empty one, has no objects.

    Keypoints, which come asked for or not, are named a left and a right one where
    `flip_idx` exchanges them.

    Raises:
        ValueError: if a file is missing or of another form, there is no such split, or
            a line is wrong; see `AnnotatedImages`.
    """
    path = _yaml_file(path)
    try:
        settings = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    names = settings.get("names") if isinstance(settings, dict) else None
    if not isinstance(names, list | dict):
        raise ValueError(f"{path}: no YOLO data set, which has a list of 'names'")
    names = dict(enumerate(names)) if isinstance(names, list) else names
    splits = [name for name in ("train", "val", "test") if settings.get(name)]
    split = find_split(split, splits)
    root = path.parent / (settings.get("path") or "")
    root = root if root.is_dir() else path.parent
    folder = Folder(root)
    point_names = _point_names(path, settings)
    points = settings.get("kpt_shape") or (0, 0)
    files: list[str] = list(_image_files(root, settings[split]))
    ids = image_ids([PurePosixPath(name).stem for name in files])
    rows = [
        image_row(folder, name, i, upright=True)
        for i, name in zip(ids, files, strict=True)
    ]
    objects = [thing for row in rows for thing in _objects(folder, row, points)]
    return AnnotatedImages(
        f"{path}, {split}",
        {
            "images": rows,
            "categories": [
                {"id": i, "name": str(name), "keypoints": point_names}
                for i, name in names.items()
            ],
            "annotations": objects,
        },
        folder,
        masks=masks,
        strict=strict,
        tolerance=_TOLERANCE,
    )


def _yaml_file(path: epath.PathLike) -> epath.Path:
    path = epath.Path(path).expanduser()
    return path if path.suffix in (".yaml", ".yml") else path / "data.yaml"


def _image_files(root: epath.Path, value: str | list) -> Iterator[str]:
    """Yields the names of the images of a split, relative to the root."""
    for place in value if isinstance(value, list) else [value]:
        path = root / place
        if not path.exists():  # Roboflow's ../train/images means train/images
            path = root / place.removeprefix("../")
        if path.is_dir():
            files = _files_below(path)
        elif path.is_file():
            lines = path.read_text().split("\n")
            # As Ultralytics has it: of a line that begins with ./, from the list on.
            files = [path.parent / line.strip() for line in lines if line.strip()]
        else:
            raise ValueError(f"{path}: neither a folder of images nor a list of them")
        for file in files:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                yield str(file.relative_to(root) if file.is_relative_to(root) else file)


def _files_below(path: epath.Path) -> Iterator[epath.Path]:
    for child in sorted(path.iterdir()):
        yield from _files_below(child) if child.is_dir() else (child,)


def _objects(folder: Folder, image: dict, points: tuple[int, int]) -> Iterator[dict]:
    """Yields the annotations of an image in COCO's form."""
    file = PurePosixPath(image["file_name"]).with_suffix(".txt")
    parts = list(file.parts)
    if "images" in parts:  # the last of them is that of the labels
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    name = str(PurePosixPath(*parts))
    try:
        lines = folder.read(name).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return
    if image["height"] is None:
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"line {number} of {name}"
            yield {"id": where, "image_id": image["id"], **_object(line, image, points)}


def _object(line: str, image: dict, points: tuple[int, int]) -> dict:
    """Returns the object of a line; one that is no such line has no finite box."""
    width, height = image["width"], image["height"]
    label, *values = map(_number, line.split())
    values = [value * (height if i % 2 else width) for i, value in enumerate(values)]
    num_points, per_point = points
    if num_points and len(values) == 4 + num_points * per_point:
        return {
            "category_id": label,
            "bbox": _xywh(*values[:4]),
            "keypoints": _keypoints(line.split()[5:], per_point, width, height),
        }
    if len(values) == 4:
        return {"category_id": label, "bbox": _xywh(*values)}
    if len(values) >= 6 and len(values) % 2 == 0:
        x1, y1 = min(values[::2]), min(values[1::2])
        return {
            "category_id": label,
            "bbox": [x1, y1, max(values[::2]) - x1, max(values[1::2]) - y1],
            "segmentation": [values],
        }
    return {"category_id": label, "bbox": values}


def _keypoints(
    values: list[str], per_point: int, width: int, height: int
) -> list[float]:
    """Returns x, y in pixels and 0, 1 or 2 of each point; all seen without these."""
    keypoints = []
    for start in range(0, len(values), per_point):
        x, y, *seen = map(_number, values[start : start + per_point])
        keypoints += [x * width, y * height, seen[0] if seen else 2 * bool(x or y)]
    return keypoints


def _point_names(path: epath.Path, settings: dict) -> list[str]:
    """Returns names that tell left from right where a point changes with another."""
    shape, flip = settings.get("kpt_shape"), settings.get("flip_idx")
    if shape is None:
        return []
    if not (isinstance(shape, list) and len(shape) == 2 and shape[1] in (2, 3)):
        raise ValueError(f"{path}: kpt_shape {shape} must be [points, 2 or 3]")
    if flip is None or sorted(flip) != list(range(shape[0])):
        raise ValueError(
            f"{path}: flip_idx {flip} must say for each of {shape[0]} points which one "
            "it is in the mirror"
        )
    return [
        f"point {i}" if i == j else f"{'left' if i < j else 'right'} {min(i, j)}"
        for i, j in enumerate(flip)
    ]


def _xywh(x: float, y: float, width: float, height: float) -> list[float]:
    """Returns the box of a center and sides."""
    return [x - width / 2, y - height / 2, width, height]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return int(value) if value.is_integer() else value
