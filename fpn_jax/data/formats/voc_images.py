"""Finds the image that each XML file of Pascal VOC describes."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.file_names import unicode_forms
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.voc_file import VocFile
from fpn_jax.data.heif import HEIF_SUFFIXES
from fpn_jax.data.image import IMAGE_SUFFIXES

_TEXTS = (".csv", ".json", ".txt", ".xml", ".yaml", ".yml")  # beside images


def images_of(
    files: Sequence[VocFile], folder: Folder, stems: Collection[str]
) -> tuple[dict[str, str], list[Defect]]:
    """The image of each file by its stem; defects of files without one, and a note.

    It is the image of the file's own name, as the readers of the challenge take it:
    `<filename>` may be of before a renaming, or of the file that this one was copied
    from. Without such an image it is the one that `<filename>` names, with or without
    its folders and suffix, unless that is another file's. An image that is not there is
    unreadable when its turn comes.

    Args:
        files: the annotations.
        folder: of the images.
        stems: of all files of annotations beside these.

    Raises:
        ValueError: if there are no images at all.
    """
    there = _by_stem(folder)
    if files and not there:
        raise ValueError(f"{folder}: no images are there")
    shown: dict[str, str] = {}
    owners: dict[str, str] = {}
    defects, unlike = [], []
    for file in files:
        image = _image(file, there)
        owner = PurePosixPath(image).stem
        if owner == file.stem or owner not in stems:
            owner = owners.setdefault(image, file.stem)
        if owner != file.stem:
            reason = f"its image is {image}, which is the image of {owner}.xml"
            defects.append(Defect("image of two files", f"{file.stem}.xml", reason))
            continue
        shown[file.stem] = image
        stated = PurePosixPath(file.image).name
        if stated != image and stated in there.get(PurePosixPath(stated).stem, ()):
            unlike.append(f"{file.stem}.xml names {stated}, not {image}")
    if unlike:
        reason = (
            f"{len(unlike)} name another image than their own, which is taken: "
            f"{unlike[0]}"
        )
        defects.append(Defect("another image named", "files", reason, note=True))
    return shown, defects


def _image(file: VocFile, there: Mapping[str, list[str]]) -> str:
    forms = unicode_forms(file.stem)
    own = next(filter(None, map(there.get, forms)), [])
    stated = PurePosixPath(file.image)
    if stated.name in own:
        return stated.name
    if own:
        return own[0]
    same = there.get(stated.stem, [])
    if stated.name in same:
        return stated.name
    # A stem may have a dot in it, and stand without its suffix.
    other = [*there.get(stated.name, []), *same]
    return other[0] if other else file.image or f"{file.stem}.jpg"


def _by_stem(folder: Folder) -> dict[str, list[str]]:
    """The files of a folder that may be images by their stems, usual kinds first."""
    there = defaultdict(list)
    try:
        names = list(folder.names())
    except OSError:  # no such folder
        names = []
    for name in sorted(names, key=_unusual):
        if not _suffix_of(name, _TEXTS):
            there[PurePosixPath(name).stem].append(name)
    return dict(there)


def _unusual(name: str) -> tuple[bool, bool]:
    """A key that sorts usual kinds of images first, and HEIC behind its other copy."""
    return not _suffix_of(name, IMAGE_SUFFIXES), _suffix_of(name, HEIF_SUFFIXES)


def _suffix_of(name: str, suffixes: Collection[str]) -> bool:
    return PurePosixPath(name).suffix.lower() in suffixes
