"""The images of a split of a YOLO data set, and where their labels are."""

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from etils import epath

from fpn_jax.data.formats.clutter import is_clutter
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.text_file import ends_of, listed_names, read_text
from fpn_jax.data.image import IMAGE_SUFFIXES

# Images that nothing here decodes. Ultralytics reads the first three.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".dng"),
    *(".arw", ".cr2", ".cr3", ".ico", ".jxl", ".nef", ".psd", ".svg", ".tga"),
)


class Listed(NamedTuple):
    """The files that the settings name for a split."""

    names: list[str]  # images, relative to the root where they are below it
    notes: list[str]  # what is left out, each in a line


def listed_images(root: epath.Path, places: Sequence[str], where: str) -> Listed:
    """The images of folders and lists, each once, in their order.

    Args:
        root: that places are relative to.
        places: folders, text files that list images, or images.
        where: the field that names them, for messages.

    Raises:
        ValueError: if a place is none of these.
    """
    names: dict[str, str] = {}  # each with the place that names it first
    notes = []
    for place in places:
        path = _existing(root, place, where)
        again, other = [], []
        for file, source in _files(path, root):
            name = _relative(file, root)
            suffix = PurePosixPath(name).suffix.lower()
            if suffix not in IMAGE_SUFFIXES:
                if suffix in UNREAD_SUFFIXES or source:
                    other.append(source or name)
            elif name in names:
                again.append(source or name)
            else:
                names[name] = source
        if other:
            notes.append(
                f"{path}: {len(other)} files are left out, since they are no images "
                f"that can be decoded: the first is {other[0]}"
            )
        if again:
            notes.append(
                f"{path}: {len(again)} images are named again, and are taken once: the "
                f"first is {again[0]}"
            )
    return Listed(list(names), notes)


def label_files(image: str, folders: dict[str, list[str]]) -> Iterator[str]:
    """Yields the files in which the labels of an image may be, by its absolute path.

    As in Ultralytics `/labels/` takes the place of the last `/images/`; where links
    lead elsewhere, of their targets too. `folders` keeps what was found before.
    """
    folder, _, name = image.rpartition("/")
    if folder not in folders:
        linked = folder if "://" in folder else os.path.realpath(folder)
        folders[folder] = [
            "/labels/".join(f"{place}/".rsplit("/images/", 1))
            for place in dict.fromkeys((folder, linked))
        ]
    for place in folders[folder]:
        yield f"{place}{name.rpartition('.')[0]}.txt"


def absolute(path: epath.Path) -> epath.Path:
    """The path without `..`; a remote one has none."""
    return path if "://" in str(path) else epath.Path(os.path.abspath(path))


def _existing(root: epath.Path, place: str, where: str) -> epath.Path:
    path = absolute(root / epath.Path(place).expanduser())
    # Roboflow's ../train/images means train/images.
    for other in (path, absolute(root / place.removeprefix("../"))):
        if other.exists():
            return other
    raise ValueError(
        f"{where}: {path}: neither a folder of images nor a file that lists them"
    )


def _files(path: epath.Path, root: epath.Path) -> Iterator[tuple[epath.Path, str]]:
    """Yields the files of a place, and the lines of a list that name them."""
    if path.is_dir():
        for name in sorted(Folder(path).names_below()):
            yield path / name, ""
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        yield path, ""
    else:
        for number, name in listed_names(read_text(path)):
            file = _listed_file(path.parent, root, name)
            if not is_clutter(_relative(file, path.parent).removeprefix("/")):
                yield file, f"line {number}, {name}"


def _listed_file(folder: epath.Path, root: epath.Path, name: str) -> epath.Path:
    """The file that a line names, beside its list or below the root of the data set."""
    places = (absolute(at / end) for end in ends_of(name) for at in (folder, root))
    found = next((place for place in places if place.exists()), None)
    return absolute(folder / name) if found is None else found


def _relative(file: epath.Path, root: epath.Path) -> str:
    return str(file.relative_to(root) if file.is_relative_to(root) else file)
