"""The rows of a table of boxes, as spreadsheets and people write them."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fpn_jax.data.class_names import name_problem
from fpn_jax.data.formats.corners import Corners, corners_in, number_in, whole_size
from fpn_jax.data.formats.text_file import decoded_text, slashed

# The columns, and their names in other tools, in small letters and with `_`.
_NAMES = {
    "file": (
        *("filename", "file_name", "fname", "image", "img", "image_name", "img_name"),
        *("image_file", "image_path", "img_path", "path", "filepath", "location"),
    ),
    "x1": ("xmin", "x_min", "left"),
    "y1": ("ymin", "y_min", "top"),
    "x2": ("xmax", "x_max", "right"),
    "y2": ("ymax", "y_max", "bottom"),
    "class": ("label", "category", "class_name", "name", "classname", "label_name"),
}
_COLUMN = {other: name for name, others in _NAMES.items() for other in (name, *others)}
# The size of the image, where a table has it.
_COLUMN |= {side: side for side in ("width", "height")}
_SIDES = ("x1", "y1", "x2", "y2")
_DELIMITERS = (",", ";", "\t")


class TableRow(NamedTuple):
    """A row: an object, an image without one, or a problem."""

    line: int  # its number in the file
    file: str
    name: str  # of the class; "" for an image without objects
    corners: Corners | None
    sides: dict[str, str]  # the corners as the file has them
    stated: tuple[int, int] | None  # height and width of the image
    problem: str = ""


def read_table(data: bytes, where: str) -> list[TableRow]:
    """The rows of a table.

    Cells are set apart by commas, semicolons or tabs, whichever the first lines have;
    blanks around them do not count, nor do empty cells behind the last column, nor
    empty lines. Where semicolons or tabs part the cells, numbers may have a comma.

    Raises:
        ValueError: if the file is no such table: text of another encoding, broken
            quotes, a first line of other names, too many cells, shares of the image in
            the place of pixels.
    """
    text = decoded_text(data, where)
    delimiter, text, skipped = _delimiter(text)
    lines = list(_lines(text, delimiter, where, skipped))
    columns = names = list(_NAMES)
    if lines and (header := _header(lines[0][1], where)):
        columns, names = header, lines[0][1]
        lines = lines[1:]
    rows = []
    for number, cells in lines:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if len(cells) > len(columns):
            raise ValueError(
                f"{where}: line {number} has {len(cells)} cells, must have "
                f"{len(columns)}: {', '.join(names)}"
            )
        given = dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False))
        if delimiter != ",":
            given |= {side: given[side].replace(",", ".") for side in _SIDES}
        rows.append(_row(number, given, dict(zip(columns, names, strict=False))))
    _check_pixels(rows, where)
    return rows


def _check_pixels(rows: Sequence[TableRow], where: str) -> None:
    """Raises ValueError for a table whose boxes are all within the first pixel."""
    boxes = [row for row in rows if row.corners]
    if boxes and all(0 <= side <= 1 for row in boxes for side in row.corners or ()):
        given = ", ".join(f"{name} {text}" for name, text in boxes[0].sides.items())
        raise ValueError(
            f"{where}: line {boxes[0].line}: {given}: as in all lines, these are "
            "shares of the image, must be pixels"
        )


def _delimiter(text: str) -> tuple[str, str, int]:
    """The delimiter, the text, and how many lines before it say the delimiter."""
    first, _, rest = text.partition("\n")
    if said := re.fullmatch(r'"?sep=([,;\t|])"?', first.strip("\r ")):  # Excel's
        return said[1], rest, 1
    for line in text.split("\n"):
        found = max(_DELIMITERS, key=line.count)
        if line.count(found):
            return found, text, 0
    return ",", text, 0


def _lines(
    text: str, delimiter: str, where: str, skipped: int
) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of the lines that have some, with the numbers of the lines."""
    reader = csv.reader(
        io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    number = 1 + skipped
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield number, cells
            number = 1 + skipped + reader.line_num
    except csv.Error as error:
        raise ValueError(f"{where}: line {number}: {error}") from None


def _header(cells: Sequence[str], where: str) -> list[str] | None:
    """Our names of the columns that a first line names; None: it is a row.

    Raises ValueError for a first line of words that does not name all columns.
    """
    if list(cells) == [str(number) for number in range(len(cells))]:
        return list(_NAMES) if len(cells) == len(_NAMES) else None  # of pandas
    # NumPy writes a # before the first name.
    spelled = [re.sub(r"[\s-]+", "_", cell.lower().lstrip("# ")) for cell in cells]
    columns = [_COLUMN.get(cell, cell) for cell in spelled]
    words = [cell for cell in cells[1:] if cell and number_in(cell) is None]
    if "file" not in columns and (len(cells) < 2 or len(words) < len(cells) - 1):
        return None
    missing = [name for name in _NAMES if name not in columns]
    if missing:
        raise ValueError(
            f"{where}: no column {missing[0]!r} in the first line, {', '.join(cells)}; "
            f"it may be called {', '.join((missing[0], *_NAMES[missing[0]]))}"
        )
    twice = [name for name in _NAMES if columns.count(name) > 1]
    if twice:
        both = [
            cell for cell, name in zip(cells, columns, strict=True) if name in twice
        ]
        raise ValueError(f"{where}: {' and '.join(both[:2])} are the same column")
    return columns


def _row(line: int, cells: dict[str, str], names: dict[str, str]) -> TableRow:
    """The row of cells by our names; `names` are the file's own."""
    sides = {names.get(side, side): cells[side] for side in _SIDES}
    row = TableRow(
        line, slashed(cells["file"]), cells["class"], None, sides, _stated(cells)
    )
    if not row.file:
        return row._replace(problem="no name of a file")
    if not row.name and not any(sides.values()):
        return row
    if not row.name:
        return row._replace(problem="a box without a class")
    if problem := name_problem(row.name):
        return row._replace(problem=problem)
    try:
        return row._replace(corners=corners_in(sides))
    except ValueError as error:
        return row._replace(problem=str(error))


def _stated(cells: dict[str, str]) -> tuple[int, int] | None:
    """Height and width of the image, if the table has both."""
    return whole_size(cells.get("height"), cells.get("width"))
