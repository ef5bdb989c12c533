"""Images with a COCO annotation file, as a source."""

import json

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.folder import Archive, Folder, open_folder
from fpn_jax.data.formats.splits import names_of

# Names of the annotation file in the folder of its images; the second is Roboflow's.
_FILE_NAMES = ("annotations.json", "_annotations.coco.json")


def is_coco(path: epath.PathLike, split: str) -> bool:
    """Whether a path, or the folder of the split there, has annotations in this form.

    The path may be the annotation file.
    """
    return any(_is_annotated(place) for place in _places(path, split))


def open_coco(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """The examples of an annotation file or folder, or of the split's folder there.

    The keypoints of the file are kept, asked for or not; see `open_coco_file`.
    """
    for place in _places(path, split):
        if _is_annotated(place):
            return open_coco_file(place, masks=masks, strict=strict)
    raise ValueError(f"{path}: no {_FILE_NAMES[0]}, nor in a folder {split}")


def open_coco_file(
    path: epath.PathLike,
    images: epath.PathLike | None = None,
    *,
    masks: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """The examples of one COCO annotation file, as `AnnotatedImages` describes them.

    Args:
        path: the annotation file, or a folder that holds `annotations.json`.
        images: the folder of the images, or a zip archive of them; by default the
            annotation file's.
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
    content = load_annotations(Folder(path.parent), path.name)
    return AnnotatedImages(str(path), content, folder, masks=masks, strict=strict)


def load_annotations(folder: Folder | Archive, name: str) -> object:
    """The content of a JSON file; ValueError where it cannot be read."""
    try:
        return json.loads(folder.read(name))
    except OSError as error:
        raise ValueError(f"{folder}/{name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{folder}/{name}: not JSON, byte {error.start} is no UTF-8; it may be "
            "Latin-1, as older programs write: save it as UTF-8"
        ) from error
    except RecursionError as error:
        raise ValueError(f"{folder}/{name}: not JSON (lists in lists)") from error
    except ValueError as error:
        raise ValueError(f"{folder}/{name}: not JSON ({error})") from error


def _places(path: epath.PathLike, split: str) -> list[epath.Path]:
    root = epath.Path(path).expanduser()
    return [root, *(root / name for name in names_of(split))]


def _is_annotated(place: epath.Path) -> bool:
    if place.suffix == ".json":
        return place.is_file()
    return any((place / name).is_file() for name in _FILE_NAMES)
