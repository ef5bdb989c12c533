"""Images with a COCO annotation file, as a source."""

import json
import re

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.folder import Archive, Folder, open_folder
from fpn_jax.data.formats.splits import find_split

# Of an annotation file in the folder of its images; the second is Roboflow's.
_FILE_NAMES = ("annotations.json", "_annotations.coco.json")


def is_coco(path: epath.PathLike) -> bool:
    """Returns whether a path is that of an annotation file or of a folder with one."""
    path = epath.Path(path)
    if path.suffix == ".json":
        return path.is_file()
    return any((path / name).is_file() for name in _FILE_NAMES)


def coco_source(
    path: epath.PathLike,
    images: epath.PathLike | None = None,
    *,
    masks: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """Returns the examples of a COCO annotation file; `AnnotatedImages` says of what.

    Args:
        path: the annotation file, or a folder that holds `annotations.json`.
        images: the folder of the images, or a zip archive of them; by default that of
            the annotation file.
        masks: whether examples have masks.
        strict: whether defects are errors.

    Raises:
        ValueError: if a file is missing or is no COCO file, or annotations are wrong.
    """
    path = epath.Path(path).expanduser()
    if path.is_dir():
        names = [name for name in _FILE_NAMES if (path / name).is_file()]
        path = path / (names or _FILE_NAMES)[0]
    folder = open_folder(images or path.parent)
    if folder is None:
        raise ValueError(f"images: {images or path.parent} is not a folder")
    content = _load(Folder(path.parent), path.name)
    return AnnotatedImages(str(path), content, folder, masks=masks, strict=strict)


def official_source(
    root: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """Returns a split of COCO as it is published, unpacked or as the zip archives.

    Args:
        root: the folder with `annotations` and the images of each split, `train2017`,
            or with `annotations_trainval2017.zip`, `train2017.zip` and so on.
        split: `train` or `val`; of several years the last, or as in `train2014`.
        masks: whether examples have masks.
        keypoints: whether to read the annotations of persons with keypoints.
        strict: whether defects are errors.

    Raises:
        ValueError: if there is no such split, or annotations are wrong.
    """
    kind = "person_keypoints" if keypoints else "instances"
    pattern = re.compile(rf"{kind}_(\w+)\.json")
    found = {  # by split, and year where there is one
        match[1]: (folder, match[0])
        for folder in annotation_folders(root)
        for name in folder.names()
        if (match := pattern.fullmatch(name))
    }
    if not found:
        raise ValueError(f"{root}: no {kind}_*.json among the annotations")
    by_name = {name.rstrip("0123456789"): name for name in sorted(found)}
    by_name |= {name: name for name in found}
    chosen = by_name[find_split(split, by_name)]
    folder, name = found[chosen]
    images = open_folder(epath.Path(root).expanduser() / chosen)
    if images is None:
        raise ValueError(f"images: {root} has no {chosen} and no {chosen}.zip")
    return AnnotatedImages(
        f"{folder}/{name}", _load(folder, name), images, masks=masks, strict=strict
    )


def annotation_folders(root: epath.PathLike) -> list[Folder | Archive]:
    """Returns what a folder has of `annotations` and `annotations_*.zip`."""
    root = epath.Path(root).expanduser()
    paths = [root / "annotations", *sorted(root.glob("annotations_*.zip"))]
    return [folder for path in paths if (folder := open_folder(path)) is not None]


def _load(folder: Folder | Archive, name: str) -> object:
    try:
        return json.loads(folder.read(name))
    except OSError as error:
        raise ValueError(f"{folder}/{name}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{folder}/{name}: not JSON ({error})") from error
