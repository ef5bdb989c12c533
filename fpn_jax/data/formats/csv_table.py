"""Tables of boxes, one in each row, as a source."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from etils import epath

from fpn_jax.data.defects import Defect
from fpn_jax.data.formats.annotated_images import AnnotatedImages
from fpn_jax.data.formats.corners import check_inside, xywh_of
from fpn_jax.data.formats.csv_rows import TableRow, read_table
from fpn_jax.data.formats.file_names import by_any_spelling
from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.formats.image_rows import image_ids, image_row
from fpn_jax.data.formats.splits import find_split
from fpn_jax.data.image import IMAGE_SUFFIXES


def is_csv(path: epath.PathLike, split: str) -> bool:
    """Whether a folder has tables."""
    root = epath.Path(path).expanduser()
    return root.is_dir() and bool(_tables(Folder(root)))


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
    alone, for an image without objects. A first line may name the columns in any
    order, also as `filename`, `xmin` … and `label`, and others besides; `width` and
    `height` of the image say whether a photograph was annotated as stored or as EXIF
    turns it. Files are relative to `path`; of a path on another machine the end counts.
    Classes are collected from all tables of boxes there, sorted by name.

    Raises:
        ValueError: if masks are asked for, there is no such table, or a row is wrong;
            see `AnnotatedImages`.
    """
    if masks:
        raise ValueError(f"masks: {path} has boxes only")
    folder = Folder(path)
    tables = _tables(folder)
    split = find_split(split, list(tables))
    rows = _rows(folder, tables[split])
    others = [name for name in tables if name != split]
    if not rows:
        raise ValueError(f"{folder}/{tables[split]}: no rows")
    names = {row.name for row in rows if row.corners}
    notes = []
    for other in others:
        try:
            names |= {row.name for row in _rows(folder, tables[other]) if row.corners}
        except ValueError as error:  # which may be no table of boxes
            reason = f"no classes are taken from this table: {error}"
            notes.append(Defect("table left out", tables[other], reason, note=True))
    content, defects = _coco_form(folder, tables[split], rows, sorted(names))
    return AnnotatedImages(
        f"{folder}/{tables[split]}",
        content,
        folder,
        masks=False,
        strict=strict,
        defects=[*notes, *defects],
    )


def _tables(folder: Folder) -> dict[str, str]:
    """The names of the tables of a folder by their splits."""
    names = [name for name in folder.names() if name.lower().endswith(".csv")]
    return {name[: -len(".csv")]: name for name in names}


def _rows(folder: Folder, table: str) -> list[TableRow]:
    try:
        data = folder.read(table)
    except OSError as error:
        raise ValueError(f"{folder}/{table}: {error.strerror or error}") from None
    return read_table(data, f"{folder}/{table}")


def _coco_form(
    folder: Folder, table: str, rows: Sequence[TableRow], names: Sequence[str]
) -> tuple[dict, list[Defect]]:
    """The same as a COCO annotation file says it, and the defects of rows."""
    first = {row.file: row for row in reversed(rows) if row.file}
    files = list(dict.fromkeys(row.file for row in rows if row.file))
    ids = image_ids([PurePosixPath(name).stem for name in files])
    found = {name: _found(folder, name) for name in files}
    if files and not any(found.values()):
        raise ValueError(
            f"{folder}/{table}: none of its {len(files)} files is there; the first: "
            f"line {first[files[0]].line}, {files[0]}"
        )
    images = {
        name: image_row(
            folder, found[name] or name, image_id, stated=first[name].stated
        )
        for name, image_id in zip(files, ids, strict=True)
    }
    labels = {name: label for label, name in enumerate(names)}
    annotations, defects = [], []
    for row in rows:
        place = f"line {row.line} of {table}"
        if problem := row.problem or _outside(row, images[row.file]):
            defects.append(Defect("row wrong", place, problem, row.file))
        elif row.corners:
            annotations.append(
                {
                    "id": place,
                    "image_id": images[row.file]["id"],
                    "category_id": labels[row.name],
                    "bbox": xywh_of(row.corners),
                }
            )
    content = {
        "images": list(images.values()),
        "categories": [{"id": label, "name": name} for name, label in labels.items()],
        "annotations": annotations,
    }
    return content, defects


def _found(folder: Folder, name: str) -> str | None:
    """The name by which a file is in the folder, or None.

    A name may lack the suffix of its image.
    """

    def there(spelling: str) -> str:
        folder.open(spelling).close()
        return spelling

    complete = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    for suffix in ("",) if complete else ("", *IMAGE_SUFFIXES):
        try:
            return by_any_spelling(name + suffix, there)
        except OSError:
            pass
    return None


def _outside(row: TableRow, image: dict) -> str:
    """Says that the box of a row is outside of its image, or ""."""
    if row.corners and image["height"]:
        try:
            check_inside(row.corners, row.sides, (image["height"], image["width"]))
        except ValueError as error:
            return str(error)
    return ""
