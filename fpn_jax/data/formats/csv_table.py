"""Tables of boxes, one in each row, as a source."""

import csv
import io
from pathlib import Path

from etils import epath

from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import find_split

# The columns, and what they are called by others.
_NAMES = {
    "file": ("filename", "file_name", "image", "path"),
    "x1": ("xmin", "x_min"),
    "y1": ("ymin", "y_min"),
    "x2": ("xmax", "x_max"),
    "y2": ("ymax", "y_max"),
    "class": ("label", "category", "class_name", "name"),
}
_COLUMN = {other: name for name, others in _NAMES.items() for other in (name, *others)}
_COLUMN |= {"width": "width", "height": "height"}  # of the image, where they are given


def is_csv(path: epath.PathLike, split: str) -> bool:
    """Whether a folder has tables."""
    return any(epath.Path(path).expanduser().glob("*.csv"))


def open_csv(
    path: epath.PathLike,
    split: str,
    *,
    masks: bool = False,
    keypoints: bool = False,
    strict: bool = True,
) -> AnnotatedImages:
    """The examples of `path/SPLIT.csv`, which has neither masks nor keypoints.

    A row is an object: `file, x1, y1, x2, y2, class`, the corners in pixels; or a file
    alone, for an image without objects. A first line may name the columns in any order,
    also as `filename`, `xmin` … and `label`, and others besides. Files are relative to
    `path`. Classes are collected from all tables there, sorted by name. `width` and
    `height` of the image, where they are given, must be the file's, and decide whether
    a photograph was annotated as it is stored or as EXIF turns it.

    Raises:
        ValueError: if masks are asked for, there is no such table, or a row is wrong;
            see `AnnotatedImages`.
    """
    if masks:
        raise ValueError(f"masks: {path} has boxes only")
    folder = Folder(path)
    tables = [name for name in folder.names() if name.endswith(".csv")]
    split = find_split(split, [name.removesuffix(".csv") for name in tables])
    rows = {name: _rows(folder, name) for name in tables}
    names = sorted({row["class"] for table in rows.values() for row in table} - {""})
    content = _coco_form(folder, rows[f"{split}.csv"], names)
    return AnnotatedImages(
        f"{folder}/{split}.csv", content, folder, masks=False, strict=strict
    )


def _rows(folder: Folder, table: str) -> list[dict[str, str]]:
    """Returns the rows of a table by our names of its columns, and where they stand."""
    try:
        text = folder.read(table).decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{folder}/{table}: {error}") from error
    header = [_COLUMN.get(cell.strip().lower(), cell) for cell in next(iter(lines), ())]
    given = "file" in header
    columns = header if given else list(_NAMES)
    if missing := [name for name in _NAMES if name not in columns]:
        raise ValueError(f"{folder}/{table}: no column {missing[0]!r}")
    rows = []
    for number, line in enumerate(lines[given:], start=1 + given):
        if len(line) > len(columns):
            raise ValueError(
                f"{folder}/{table}: line {number} has {len(line)} cells, must have "
                f"{len(columns)}"
            )
        if line:
            row = dict.fromkeys(columns, "") | dict(zip(columns, line, strict=False))
            rows.append(row | {"line": f"line {number} of {table}"})
    return rows


def _coco_form(folder: Folder, rows: list[dict[str, str]], names: list[str]) -> dict:
    """Returns the same as a COCO annotation file says it."""
    files = list(dict.fromkeys(row["file"] for row in rows))
    ids = dict(zip(files, image_ids([Path(name).stem for name in files]), strict=True))
    firsts = {row["file"]: row for row in reversed(rows)}
    images = [
        image_row(folder, name, ids[name], stated=_stated_size(firsts[name]))
        for name in files
    ]
    sized = {row["file_name"] for row in images if row["height"]}
    return {
        "images": images,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "id": row["line"],
                "image_id": ids[row["file"]],
                "category_id": names.index(row["class"]),
                "bbox": _xywh(row),
            }
            for row in rows
            if row["class"] and row["file"] in sized
        ],
    }


def _stated_size(row: dict[str, str]) -> tuple[int, int] | None:
    """Returns height and width of the image of a row, if the table has both."""
    try:
        height, width = int(row["height"]), int(row["width"])
    except (KeyError, ValueError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _xywh(row: dict[str, str]) -> list[float]:
    try:
        x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
    except ValueError:
        x1 = y1 = x2 = y2 = float("nan")  # refused with other boxes that are not finite
    return [x1, y1, x2 - x1, y2 - y1]
