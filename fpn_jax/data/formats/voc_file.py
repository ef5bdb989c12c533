"""One XML file of Pascal VOC, as the tools of people write it."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

from fpn_jax.data.class_names import name_problem
from fpn_jax.data.formats.corners import Corners, corners_in, whole_size
from fpn_jax.data.formats.text_file import decoded_text, slashed

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_OTHER_SHAPES = ("robndbox", "polygon", "mask")  # of other tools
_TRUE = ("1", "1.0", "true", "yes")  # all else, as `Unspecified`, is not difficult


class VocObject(NamedTuple):
    """One object, which is sound unless it has a problem."""

    number: int  # from 1, in the order of the file
    name: str  # "" where it is none
    corners: Corners
    sides: dict[str, str | None]  # the corners as the file has them
    difficult: bool
    problem: str = ""


class VocFile(NamedTuple):
    """The facts of a file, as it states them."""

    stem: str
    image: str  # <filename>; "" where there is none
    size: tuple[int, int] | None  # height, width; None where there is no sound one
    objects: list[VocObject]


def read_voc_file(data: bytes, stem: str) -> VocFile:
    """Returns the content of a file; ValueError if it is no such XML."""
    try:
        tree = _tree(data)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        _check_encoding(data)
        raise ValueError(f"no XML: {error}") from None
    objects = list(tree.iter("object"))
    if tree.tag.lower() != "annotation" and not objects:
        raise ValueError(f"its root is <{tree.tag}>, must be <annotation>")
    return VocFile(
        stem=stem,
        image=slashed(tree.findtext("filename") or ""),
        # Tools that could not read the image write 0 or nothing.
        size=whole_size(tree.findtext("size/height"), tree.findtext("size/width")),
        objects=list(_objects(objects)),
    )


def _box_problem(thing: ElementTree.Element, sides: dict[str, str | None]) -> str:
    """Names the sides that the box of an object lacks, or ""."""
    if thing.find("bndbox") is None:
        other = next((tag for tag in _OTHER_SHAPES if thing.find(tag) is not None), "")
        return f"no <bndbox>, but <{other}>" if other else "no <bndbox>"
    missing = [side for side, text in sides.items() if not (text or "").strip()]
    return f"no <bndbox><{missing[0]}>" if missing else ""


def _tree(data: bytes) -> ElementTree.Element:
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    data = data[len(mark) :].lstrip()  # blanks that editors leave before <?xml
    try:
        return ElementTree.fromstring(data)
    except ValueError:  # its parser knows no encoding of several bytes, as GB2312
        declared = re.match(rb"""<\?xml[^>]*encoding=["']([\w-]+)["']""", data)
        if declared is None:
            raise
        return ElementTree.fromstring(data.decode(declared[1].decode()))


def _check_encoding(data: bytes) -> None:
    """Raises ValueError if the reason is an encoding that the file does not declare."""
    declared = data[:200].partition(b"?>")[0]
    if b"encoding" not in declared or b"utf-8" in declared.lower():
        try:
            decoded_text(data, "")
        except ValueError as error:
            raise ValueError(str(error).removeprefix(": ")) from None


def _objects(found: list[ElementTree.Element]) -> Iterator[VocObject]:
    for number, thing in enumerate(found, start=1):
        name = (thing.findtext("name") or "").strip()
        sides = {side: thing.findtext(f"bndbox/{side}") for side in _SIDES}
        difficult = (thing.findtext("difficult") or "").strip().lower() in _TRUE
        unnamed = name_problem(name) if name else "no <name>"
        corners, problem = (0.0, 0.0, 0.0, 0.0), unnamed or _box_problem(thing, sides)
        if unnamed:
            name = ""
        if not problem:
            try:
                corners = corners_in(sides, from_one=True)
            except ValueError as error:
                problem = str(error)
        yield VocObject(number, name, corners, sides, difficult, problem)
