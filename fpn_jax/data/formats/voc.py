"""Pascal VOC: folders of XML annotations, as a source."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from etils import epath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.annotation_problems import Tolerance
from fpn_jax.data.formats.clutter import is_clutter
from fpn_jax.data.formats.corners import check_inside, xywh_of
from fpn_jax.data.formats.file_names import unicode_forms
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import NoSuchSplit, find_split
from fpn_jax.data.formats.text_file import listed_names, read_text
from fpn_jax.data.formats.voc_file import VocFile, VocObject, read_voc_file
from fpn_jax.data.formats.voc_images import images_of

_TOLERANCE = Tolerance(pixels=1)  # Some tools count corners from 0.


def is_voc(path: epath.PathLike, split: str) -> bool:
    """Whether a folder has `Annotations`, or folders of XML files."""
    root = epath.Path(path).expanduser()
    return _annotations_folder(root) is not None or bool(_split_folders(root))


def open_voc(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """The examples of a split of Pascal VOC, which has neither masks nor keypoints.

    Either as the challenge publishes it, with `Annotations`, `JPEGImages` and
    `ImageSets/Main/SPLIT.txt` in `path` (`VOCdevkit/VOC2007`); or a folder `path/SPLIT`
    of XML files with the images beside them. The image of a file is the one of its own
    name, or else the one that it names; `images_of` has the rule. A size that the
    file does not state is read from the image.

    Classes are collected from all splits, sorted by name. Corners count from 1 in the
    files, and include their pixels. Objects that are marked difficult become crowd
    regions: training leaves them out, and to find them is neither right nor wrong, as
    in the challenge.

    Raises:
        ValueError: if masks are asked for, there is no such split, a file is missing or
            no such XML, or an object is wrong; see `AnnotatedImages`.
    """
    if masks:
        raise ValueError(f"masks: {path} has boxes only")
    root = epath.Path(path).expanduser()
    annotations = _annotations_folder(root)
    if annotations is not None:
        places = [root / name for name in ("JPEGImages", "images", "Images")]
        images = Folder(next((place for place in places if place.is_dir()), places[0]))
        files, broken = _read_files(Folder(annotations))
        table = _set_file(root, split)
        chosen, defects = _listed(table, files, broken)
        split, everything = table.stem, list(files.values())
    else:
        folders = _split_folders(root)
        split = find_split(split, folders)
        images = Folder(root / split)
        read = {name: _read_files(Folder(root / name)) for name in folders}
        files, broken = read[split]
        chosen, defects = list(files.values()), list(broken.values())
        everything = [file for files, _ in read.values() for file in files.values()]
    if not chosen and not defects:
        raise ValueError(f"{root}: {split} lists no images")
    names = sorted({each.name for file in everything for each in file.objects} - {""})
    stems = files.keys() | broken.keys()
    content, problems = _coco_form(images, chosen, names, stems)
    return AnnotatedImages(
        f"{root}/{split}",
        content,
        images,
        masks=False,
        strict=strict,
        tolerance=_TOLERANCE,
        defects=defects + problems,
    )


def _annotations_folder(root: epath.Path) -> epath.Path | None:
    places = [root / name for name in ("Annotations", "annotations")]
    return next((place for place in places if any(place.glob("*.xml"))), None)


def _split_folders(root: epath.Path) -> list[str]:
    files = (path for path in root.glob("*/*.xml") if not is_clutter(path.name))
    names = {path.parent.name for path in files}
    return sorted(name for name in names if not is_clutter(name))


def _set_file(root: epath.Path, split: str) -> epath.Path:
    folder = root / "ImageSets" / "Main"
    tables = [path for path in folder.glob("*.txt") if not is_clutter(path.name)]
    if not tables:
        raise NoSuchSplit(
            f"split: {folder} has no {split}.txt, nor another list; it holds the names "
            "of the XML files of the split, one a line"
        )
    sets = {path.stem: path for path in tables}
    return sets[find_split(split, sorted(sets))]


def _read_files(folder: Folder) -> tuple[dict[str, VocFile], dict[str, Defect]]:
    """The XML files by their stems, and the defects of files that are unreadable."""
    files, broken = {}, {}
    for name in folder.names():
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        if suffix.lower() == ".xml":
            try:
                files[stem] = read_voc_file(folder.read(name), stem)
            except OSError as error:
                reason = f"unreadable: {error.strerror or error}"
                broken[stem] = Defect("file unreadable", name, reason)
            except ValueError as error:
                broken[stem] = Defect("file unreadable", name, str(error))
    return files, broken


def _listed(
    table: epath.Path, files: Mapping[str, VocFile], broken: Mapping[str, Defect]
) -> tuple[list[VocFile], list[Defect]]:
    """The files that a set lists, each once; defects of the others, and notes."""
    chosen: dict[str, VocFile] = {}
    defects: dict[str, Defect] = {}
    again = []
    for number, line in listed_names(read_text(table)):
        spellings = list(_spellings(line))
        stem = next((name for name in spellings if name in files or name in broken), "")
        if stem in chosen:
            again.append(line)
        elif stem in files:
            chosen[stem] = files[stem]
        elif stem in broken:
            defects[stem] = broken[stem]
        else:
            place, reason = f"line {number} of {table.name}", f"no {spellings[0]}.xml"
            defects[line] = Defect("annotations missing", place, reason)
    found = list(defects.values())
    if again:
        reason = f"{len(again)} are there again, and are taken once: {again[0]!r:.60}"
        found.append(Defect("name twice", f"names of {table.name}", reason, note=True))
    return list(chosen.values()), found


def _spellings(line: str) -> Iterator[str]:
    """Yields the stems that a line of a set may mean.

    A name may have blanks. The sets of a class have 1, 0 or -1 behind it. Some tools
    write the image's file, or its path.
    """
    names = [line]
    flag = line.split()[-1]
    if flag in ("1", "0", "-1"):
        names.append(line.removesuffix(flag).strip())
    file = PurePosixPath(line)
    for name in (*names, file.name, file.stem):
        yield from unicode_forms(name)


def _coco_form(
    images: Folder,
    files: Sequence[VocFile],
    names: Sequence[str],
    stems: Collection[str],
) -> tuple[dict, list[Defect]]:
    """The same as a COCO annotation file says it, and the defects of objects."""
    shown, defects = images_of(files, images, stems)
    files = [file for file in files if file.stem in shown]
    labels = {name: label for label, name in enumerate(names)}
    rows, annotations = [], []
    for image_id, file in zip(image_ids([f.stem for f in files]), files, strict=True):
        row = image_row(images, shown[file.stem], image_id, stated=file.size)
        rows.append(row)
        for thing, problem in _checked(file, row):
            place = f"object {thing.number} of {file.stem}.xml"
            if problem:
                defects.append(Defect("object wrong", place, problem, shown[file.stem]))
            else:
                annotations.append(
                    {
                        "id": place,
                        "image_id": image_id,
                        "category_id": labels[thing.name],
                        "bbox": xywh_of(thing.corners),
                        "iscrowd": int(thing.difficult),
                    }
                )
    categories = [{"id": label, "name": name} for name, label in labels.items()]
    content = {"images": rows, "categories": categories, "annotations": annotations}
    return content, defects


def _checked(file: VocFile, image: dict) -> Iterator[tuple[VocObject, str]]:
    """Yields the objects of a file, each with its problem, or ""."""
    for thing in file.objects:
        problem = thing.problem
        if not problem and image["height"]:
            try:
                size = image["height"], image["width"]
                check_inside(thing.corners, thing.sides, size)
            except ValueError as error:
                problem = str(error)
        yield thing, problem
