"""The rows of a COCO annotation file that later code can carry, and the others.

Ids are whole numbers of 64 bits, sides whole numbers of pixels; `1.0` is 1, and a side
may be a text, as in `"640.0"`. A side that is null, 0 or absent is not known. Rows keep
all of their other fields.
"""

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

from fpn_jax.data.class_names import is_writable, name_problem
from fpn_jax.data.defects import Defect

_MOST = 2**63  # ids travel as int64
_LONGEST = 2**31  # sizes travel as int32
_REQUIRED = {
    "images": ("id", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}


class Rows(NamedTuple):
    """The sound rows of each part."""

    images: list[dict]  # in the order of the file; unknown sides are None
    categories: list[dict]  # by rising id
    annotations: list[dict]  # in the order of the file


class _Broken(NamedTuple):
    """A row that is left out, or an id that several rows have."""

    defect: Defect
    id: object = None  # by which annotations name it, and no other row of its part


def sound_rows(name: str, content: object, defects: list[Defect]) -> Rows:
    """The rows with all required fields, of their types, and an id of their own.

    The others are added to `defects`. Annotations of an image or a class whose row is
    one of these are left out with it, and are counted in its defect. A class of
    id 0 that no object has is left out, and no defect, where it has the name of another
    or all others have it as supercategory: Roboflow gives the project's name this id.

    Raises ValueError for content that is no COCO annotation file.
    """
    parts = {part: _part(name, content, part) for part in _REQUIRED}
    every = parts["annotations"]
    images, broken_images = _sound(parts["images"], "images", _image)
    categories, broken = _sound(parts["categories"], "categories", _category)
    categories, unnamed = _named(_without_root(categories, every))
    lost = {"image_id": broken_images, "category_id": broken + unnamed}
    for field, rows in lost.items():
        defects += _counted(rows, every, field)
        ids = {row.id for row in rows} - {None}
        if ids:
            every = [row for row in every if _key(row, field) not in ids]
    annotations, broken = _sound(every, "annotations", _annotation)
    defects += [row.defect for row in broken]
    categories.sort(key=lambda row: row["id"])
    return Rows(images, categories, annotations)


def whole_number(value: object) -> int | None:
    """The integer of 64 bits that a value of a file is; None for every other."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_MOST <= value < _MOST else None


def _part(name: str, content: object, part: str) -> list:
    rows = content.get(part) if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise ValueError(f"{name}: not a COCO annotation file, no list {part!r}")
    return rows


def _sound(
    rows: Sequence, part: str, read: Callable[[dict], dict]
) -> tuple[list[dict], list[_Broken]]:
    """The rows as `read` gives them, the first of each id; and the others.

    `read` raises ValueError where a field is wrong.
    """
    sound, broken = {}, []
    counts = collections.Counter()
    for number, row in enumerate(rows):
        has = row if isinstance(row, dict) else {}
        missing = [field for field in _REQUIRED[part] if field not in has]
        kind, reason = "field missing", f"no {missing[0]!r}" if missing else ""
        if not missing:
            try:
                row = read(row)
            except ValueError as error:
                kind, reason = "field wrong", str(error)
        if reason:
            place, file = f"{part}[{number}]", has.get("file_name")
            if part == "annotations" and isinstance(has.get("id"), str):
                place = has["id"]  # its line in a file of another form
            if not isinstance(file, str) or not is_writable(file):
                file = ""
            defect = Defect(kind, place, reason, file)
            broken.append(_Broken(defect, _key(has, "id")))
        else:
            counts[row["id"]] += 1
            sound.setdefault(row["id"], row)
    # A sound row of the same id keeps its annotations.
    broken = [one._replace(id=None) if one.id in sound else one for one in broken]
    for repeated in (i for i, count in counts.items() if count > 1):
        reason = f"repeated in {part}"
        broken.append(_Broken(Defect("id repeated", f"id {repeated}", reason)))
    return list(sound.values()), broken


def _key(row: object, field: str) -> object:
    """The value of a field that can be looked up; None for lists and the like."""
    value = row.get(field) if isinstance(row, dict) else None
    return value if isinstance(value, int | float | str) else None


def _counted(rows: Sequence[_Broken], annotations: list, field: str) -> list[Defect]:
    """The defects, with the number of annotations that are left out with a row."""
    if not any(row.id is not None for row in rows):
        return [row.defect for row in rows]
    counts = collections.Counter(_key(row, field) for row in annotations)
    defects = []
    for row in rows:
        number = 0 if row.id is None else counts[row.id]
        objects = "annotation" if number == 1 else f"{number} annotations"
        further = f"; left out with its {objects}" if number else ""
        defects.append(row.defect._replace(reason=row.defect.reason + further))
    return defects


def _image(row: dict) -> dict:
    file = row["file_name"]
    if not isinstance(file, str) or not is_writable(file):
        raise ValueError(f"file_name is {file!r:.60}, must be the name of a file")
    sides = {name: _side(row, name) for name in ("height", "width")}
    return {**row, "id": _id(row, "id"), **sides}


def _category(row: dict) -> dict:
    if problem := name_problem(row["name"]):
        raise ValueError(problem)
    return {**row, "id": _id(row, "id"), "name": row["name"].strip()}


def _annotation(row: dict) -> dict:
    own = row["id"]  # a text where a reader says so in which line the object is
    if isinstance(own, bool) or not isinstance(own, int | float | str):
        raise ValueError(f"id is {own!r:.60}, must be a number")
    for field in ("image_id", "category_id"):
        if type(row[field]) is not int:  # most are, and need no copy
            row = {**row, field: _id(row, field)}
    return row


def _id(row: dict, field: str) -> int:
    number = whole_number(row[field])
    if number is None:
        raise ValueError(
            f"{field} is {row[field]!r:.60}, must be a whole number of 64 bits"
        )
    return number


def _side(row: dict, field: str) -> int | None:
    """The height or width of an image in pixels, or None if it is not known."""
    value = row.get(field)
    if value is None or value == 0:
        return None
    try:
        number = whole_number(float(value) if isinstance(value, str) else value)
    except ValueError:
        number = None
    if number is None or not 0 <= number < _LONGEST:
        raise ValueError(
            f"{field} is {value!r:.60}, must be a whole number of pixels above 0"
        )
    return number or None


def _without_root(categories: list[dict], annotations: list) -> list[dict]:
    """The categories without one of id 0 that no object has and others stand for.

    It has the name of another, or all others have it as supercategory.
    """
    others = [row for row in categories if row["id"] != 0]
    names = {row["name"] for row in others}
    above = {row.get("supercategory") for row in others}
    for row in categories:
        is_root = row["id"] == 0 and (row["name"] in names or above == {row["name"]})
        if is_root and not any(_key(a, "category_id") == 0 for a in annotations):
            return [other for other in categories if other is not row]
    return categories


def _named(categories: list[dict]) -> tuple[list[dict], list[_Broken]]:
    """The first category of each name, and the others."""
    named, broken = {}, []
    for row in categories:
        if problem := name_problem(row["name"], named):
            place = f"category {row['id']}"
            broken.append(_Broken(Defect("name repeated", place, problem), row["id"]))
        else:
            named[row["name"]] = row
    return list(named.values()), broken
