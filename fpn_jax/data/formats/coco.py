"""Images with a COCO annotation file, as a source."""

import json

from etils import epath

from fpn_jax.data.file_kind import pointer_problem
from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.file_names import is_any_there
from fpn_jax.data.formats.folder import Archive, Folder, open_folder
from fpn_jax.data.formats.splits import names_of

# Names of the annotation file in the folder of its images; the second is Roboflow's.
_FILE_NAMES = ("annotations.json", "_annotations.coco.json")
_LOOKED_AT = 32  # images by which their folder is found


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
            annotation file's, or `images` in it if the images are there; for a file
            `annotations/instances_train.json` also `train` or `images` beside its
            folder.
        masks: whether examples have masks.
        strict: whether defects are errors.

    Raises:
        ValueError: if a file is missing or is no COCO file, or annotations are wrong.
    """
    path = epath.Path(path).expanduser()
    if path.is_dir():
        names = [name for name in _FILE_NAMES if (path / name).is_file()]
        path = path / (names or _FILE_NAMES)[0]
    folder = None if images is None else open_folder(images)
    if images is not None and folder is None:
        raise ValueError(f"images: {images} is not a folder")
    content = load_annotations(Folder(path.parent), path.name)
    folder = folder or _folder_of_images(path, content)
    return AnnotatedImages(str(path), content, folder, masks=masks, strict=strict)


def load_annotations(folder: Folder | Archive, name: str) -> object:
    """The content of a JSON file; ValueError where it cannot be read."""
    data = b""
    try:
        data = folder.read(name)
        return json.loads(data)
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
        reason = pointer_problem(data) or (error if data.strip() else "empty")
        raise ValueError(f"{folder}/{name}: not JSON ({reason})") from error


def _folder_of_images(path: epath.Path, content: object) -> Folder | Archive:
    """The folder with the images of a file, among the places where tools put them."""
    own = path.parent
    places = [own, own / "images"]
    if own.name.lower() == "annotations":
        above, split = own.parent, path.stem.rpartition("_")[2]
        places += [above / split, above / "images" / split, above / "images", above]
    rows = content.get("images") if isinstance(content, dict) else None
    rows = rows[:_LOOKED_AT] if isinstance(rows, list) else []
    names = [row.get("file_name") for row in rows if isinstance(row, dict)]
    names = [name for name in names if isinstance(name, str)]
    for folder in filter(None, map(open_folder, places)):
        if is_any_there(names, folder.open):
            return folder
    return Folder(own)


def _places(path: epath.PathLike, split: str) -> list[epath.Path]:
    root = epath.Path(path).expanduser()
    return [root, *(root / name for name in names_of(split))]


def _is_annotated(place: epath.Path) -> bool:
    if place.suffix == ".json":
        return place.is_file()
    return any((place / name).is_file() for name in _FILE_NAMES)
