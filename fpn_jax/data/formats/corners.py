"""The corners of a box as files write them, for forms whose files hold corners."""

import math
import re
from collections.abc import Mapping

Corners = tuple[float, float, float, float]  # x1, y1, x2, y2

# Python's own numbers may also have _ between digits.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")


def number_in(text: str | None) -> float | None:
    """The finite number that a text is, or None."""
    text = (text or "").strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def whole_size(height: str | None, width: str | None) -> tuple[int, int] | None:
    """The size of an image in two cells, as `640.0`; None if it is none, as `0`."""
    sides = [number_in(height), number_in(width)]
    whole = [int(n) for n in sides if n and 0 < n < 2**31 and n == int(n)]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def corners_in(cells: Mapping[str, str | None], *, from_one: bool = False) -> Corners:
    """The corners that four cells hold, x1, y1, x2 and y2 by the file's own names.

    With `from_one` the file counts pixels from 1 and includes the last: its pixels 1 …
    4 cover the extent from 0 to 4.

    Raises:
        ValueError: if a cell is no finite number, or corners are in the wrong order.
    """
    values = []
    for name, text in cells.items():
        value = number_in(text)
        if value is None:
            given = (text or "").strip() or "empty"
            raise ValueError(f"{name} is {given:.40}, must be a finite number")
        values.append(value)
    x1, y1, x2, y2 = values
    left, top = x1 - from_one, y1 - from_one
    names = list(cells)
    for low, high, ordered in ((0, 2, left <= x2), (1, 3, top <= y2)):
        if not ordered:
            raise ValueError(
                f"{names[low]} is {values[low]:g} and {names[high]} {values[high]:g}, "
                "must be the smaller and the larger"
            )
    return left, top, x2, y2


def check_inside(
    corners: Corners, cells: Mapping[str, str | None], size: tuple[int, int]
) -> None:
    """Raises ValueError if a box is outside of its image, of a height and width."""
    x1, y1, x2, y2 = corners
    height, width = size
    if x1 > width or y1 > height or x2 < 0 or y2 < 0:
        given = ", ".join(f"{name} {text}" for name, text in cells.items())
        raise ValueError(f"the box is outside of {width} x {height} pixels: {given}")


def xywh_of(corners: Corners) -> list[float]:
    """The same box as COCO's files have it."""
    x1, y1, x2, y2 = corners
    return [x1, y1, x2 - x1, y2 - y1]
