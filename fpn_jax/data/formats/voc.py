"""Pascal VOC: folders of XML annotations, as a source."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.annotation_problems import Tolerance
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids
from fpn_jax.data.formats.splits import find_split

_TOLERANCE = Tolerance(pixels=1)  # Some tools count corners from 0.


def is_voc(path: epath.PathLike, split: str) -> bool:
    """Whether a folder has `Annotations`, or folders of XML files."""
    root = epath.Path(path).expanduser()
    return (root / "Annotations").is_dir() or any(root.glob("*/*.xml"))


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
    of XML files with the images beside them.

    Classes are those of all splits, sorted by name. Corners count from 1 in the files,
    and include their pixels. Objects that are marked difficult become crowd regions:
    training leaves them out, and to find them is neither right nor wrong, as in the
    challenge.

    Raises:
        ValueError: if masks are asked for, there is no such split, a file is missing or
            no such XML, or an object is wrong; see `AnnotatedImages`.
    """
    if masks:
        raise ValueError(f"masks: {path} has boxes only")
    root = epath.Path(path).expanduser()
    if (root / "Annotations").is_dir():
        images = Folder(root / "JPEGImages")
        files = list(_files(Folder(root / "Annotations")))
        sets = {path.stem: path for path in (root / "ImageSets" / "Main").glob("*.txt")}
        split = find_split(split, sorted(sets))
        # The sets of a class have a second column.
        rows = [line.split() for line in sets[split].read_text().splitlines()]
        by_stem = {file.stem: file for file in files}
        chosen = [_annotated(by_stem, row[0], sets[split]) for row in rows if row]
    else:
        folders = sorted({path.parent.name for path in root.glob("*/*.xml")})
        split = find_split(split, folders)
        images = Folder(root / split)
        splits = {name: list(_files(Folder(root / name))) for name in folders}
        chosen, files = splits[split], sum(splits.values(), [])
    names = sorted({thing.name for file in files for thing in file.objects})
    content = _coco_form(chosen, names)
    return AnnotatedImages(
        f"{root}/{split}",
        content,
        images,
        masks=False,
        strict=strict,
        tolerance=_TOLERANCE,
    )


class _Object(NamedTuple):
    name: str
    corners: tuple[float, ...]  # xmin, ymin, xmax, ymax as the file has them
    difficult: int


class _File(NamedTuple):
    stem: str
    image: str
    height: int
    width: int
    objects: list[_Object]


def _files(folder: Folder) -> Iterator[_File]:
    for name in folder.names():
        if name.endswith(".xml"):
            try:
                tree = ElementTree.fromstring(folder.read(name))
                yield _parsed(name.removesuffix(".xml"), tree)
            except (ElementTree.ParseError, ValueError) as error:
                raise ValueError(f"{folder}/{name}: {error}") from None


def _parsed(stem: str, tree: ElementTree.Element) -> _File:
    objects = [
        _Object(
            name=_text(found, "name"),
            corners=tuple(
                float(_text(found, f"bndbox/{side}"))
                for side in ("xmin", "ymin", "xmax", "ymax")
            ),
            difficult=int(found.findtext("difficult", "0")),
        )
        for found in tree.iter("object")
    ]
    height, width = (int(_text(tree, f"size/{s}")) for s in ("height", "width"))
    name = tree.findtext("filename") or f"{stem}.jpg"
    return _File(stem, name, height, width, objects)


def _text(tree: ElementTree.Element, path: str) -> str:
    text = tree.findtext(path)
    if not text:
        raise ValueError(f"no <{path.replace('/', '><')}>")
    return text


def _annotated(files: dict[str, _File], stem: str, split: epath.Path) -> _File:
    if stem not in files:
        raise ValueError(f"{split}: no annotations of {stem!r}")
    return files[stem]


def _coco_form(files: Sequence[_File], names: Sequence[str]) -> dict:
    """Returns the same as a COCO annotation file says it."""
    ids = image_ids([file.stem for file in files])
    return {
        "images": [
            {
                **{"id": image_id, "file_name": file.image},
                **{"height": file.height, "width": file.width},
            }
            for image_id, file in zip(ids, files, strict=True)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": f"object {number} of {file.stem}.xml",
                "image_id": image_id,
                "category_id": names.index(thing.name),
                "bbox": _xywh(*thing.corners),
                "iscrowd": thing.difficult,
            }
            for image_id, file in zip(ids, files, strict=True)
            for number, thing in enumerate(file.objects, start=1)
        ],
    }


def _xywh(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [x1 - 1, y1 - 1, x2 - (x1 - 1), y2 - (y1 - 1)]
