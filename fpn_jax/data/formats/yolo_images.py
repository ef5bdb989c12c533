"""The images of a split of a YOLO data set, and where their labels are."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from etils import epath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.clutter import is_clutter
from fpn_jax.data.formats.file_names import ends_of, spellings, unicode_forms
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.text_file import listed_names, read_text
from fpn_jax.data.image import IMAGE_SUFFIXES

# Images that nothing here decodes. Ultralytics reads the first four.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".dng", ".pfm"),
    *(".arw", ".cr2", ".cr3", ".ico", ".jxl", ".nef", ".psd", ".svg", ".tga"),
)


class Listed(NamedTuple):
    """The files that the settings name for a split."""

    names: list[str]  # images, relative to the root where they are below it
    notes: list[Defect]  # about files that are left out


def listed_images(root: str, places: Sequence[str], where: str) -> Listed:
    """The images of folders and lists, each once, in their order.

    Args:
        root: the absolute path that places are relative to.
        places: folders, text files that list images, or images.
        where: the field that names them, for messages.

    Raises:
        ValueError: if a place is none of these.
    """
    names: dict[str, None] = {}  # in their order
    notes = []
    for place in places:
        path, elsewhere = _existing(root, place, where)
        notes += elsewhere
        again, other = [], []
        for file, line in _files(path, root):
            name = relative_name(file, root)
            suffix = os.path.splitext(name)[1].lower()
            if suffix not in IMAGE_SUFFIXES:
                if suffix in UNREAD_SUFFIXES or line:
                    other.append(line or name)
            elif name in names:
                again.append(line or name)
            else:
                names[name] = None
        if other:
            reason = (
                f"{len(other)} files are left out, since they are no images that can "
                f"be decoded: the first is {other[0]}"
            )
            notes.append(Defect("files left out", path, reason, note=True))
        if again:
            reason = (
                f"{len(again)} images are named again, and are taken once: the first "
                f"is {again[0]}"
            )
            notes.append(Defect("image named again", path, reason, note=True))
    return Listed(list(names), notes)


def label_files(image: str, folders: dict[str, list[str]]) -> Iterator[str]:
    """Yields the files in which the labels of an image may be, by its absolute path.

    As in Ultralytics `/labels/` takes the place of the last `/images/`; where links
    lead elsewhere, of their targets too. `folders` keeps the results by folder.
    """
    folder, _, name = image.rpartition("/")
    if folder not in folders:
        linked = folder if "://" in folder else os.path.realpath(folder)
        folders[folder] = [
            "/labels/".join(f"{place}/".rsplit("/images/", 1))
            for place in dict.fromkeys((folder, linked))
        ]
    for place in folders[folder]:
        for stem in unicode_forms(name.rpartition(".")[0]):
            yield f"{place}{stem}.txt"


def absolute_path(folder: epath.PathLike, name: str = "") -> str:
    """The absolute path of a file of a folder, without `..` in a local one."""
    path = name if "://" in name else os.path.join(os.fspath(folder), name)
    if "://" in path:
        return path.rstrip("/")
    return os.path.abspath(path).replace(os.sep, "/")


def relative_name(file: str, folder: str) -> str:
    """The path of a file below a folder; of another file its own path."""
    return file.removeprefix(f"{folder}/")


def _existing(root: str, place: str, where: str) -> tuple[str, list[Defect]]:
    """The absolute path of a place, with a note if another machine wrote the place.

    The longest end of a path from another machine is taken that is below the root. A
    folder `images` alone may be of any split, and is no such end.
    """
    path = absolute_path(root, os.path.expanduser(place))
    # Roboflow's ../train/images means train/images.
    for other in (path, absolute_path(root, place.removeprefix("../"))):
        if epath.Path(other).exists():
            return other, []
    if re.match(r"/|[A-Za-z]:/", place):
        path = place
        for end in ends_of(place):
            other = absolute_path(root, end)
            if end != "images" and epath.Path(other).exists():
                reason = f"{place} is not there, and {other} is taken"
                return other, [Defect("place elsewhere", where, reason, note=True)]
    raise ValueError(
        f"{where}: {path}: neither a folder of images nor a file that lists them"
    )


def _files(path: str, root: str) -> Iterator[tuple[str, str]]:
    """Yields the files of a place, and the lines of a list that name them."""
    if epath.Path(path).is_dir():
        for name in sorted(Folder(path).names_below()):
            yield f"{path}/{name}", ""
    elif os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        yield path, ""
    else:
        yield from _listed_files(path, root)


def _listed_files(path: str, root: str) -> Iterator[tuple[str, str]]:
    """Yields the files that a list names, and their lines.

    They are beside the list or below the root; files that are not there are beside it.
    Raises ValueError if none is there.
    """
    folder, missing, there = os.path.dirname(path), "", False
    for number, name in listed_names(read_text(epath.Path(path))):
        line = f"line {number}, {name}"
        places = (
            absolute_path(at, one) for one in spellings(name) for at in (folder, root)
        )
        found = next((one for one in places if epath.Path(one).exists()), None)
        there = there or found is not None
        missing = missing or (line if found is None else "")
        file = found or absolute_path(folder, name)
        own = relative_name(relative_name(file, folder), root)
        # The data set may itself be in a hidden folder.
        if not is_clutter(os.path.basename(own) if own == file else own):
            yield file, line
    if missing and not there:
        raise ValueError(
            f"{path}: no file that it lists is there; the first: {missing}"
        )
