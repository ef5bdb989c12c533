"""A line of a YOLO label file as the row of an annotation in COCO's form."""

import math
from collections.abc import Collection
from typing import NamedTuple

ROUNDING = 0.01  # of the image, as Ultralytics' trainers have it
_SHARES = "shares of the image, 0 … 1"


class LineForm(NamedTuple):
    """The limits for the lines of a data set."""

    classes: Collection[int]
    points: tuple[int, int]  # keypoints of an object, and numbers of each; 0: none


def object_of_line(line: str, size: tuple[int, int], form: LineForm) -> dict:
    """The class, box and perhaps polygon or keypoints of a line, in pixels.

    `size` is the image's height and width. Raises ValueError that tells in the
    words of the line why it is none.
    """
    try:
        values = [float(word.replace("_", "x")) for word in line.split()]
    except ValueError:
        raise ValueError(
            f"{_quoted(line)} must be numbers between blanks: class, x, y, width, "
            "height"
        ) from None
    try:
        return _object(values, line.split(), size, form)
    except ValueError as error:
        raise ValueError(f"{_quoted(line)}: {error}") from None


def _object(
    values: list[float], words: list[str], size: tuple[int, int], form: LineForm
) -> dict:
    for value, word in zip(values, words, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"{word} is no finite number")
    label, *shares = values
    if label not in form.classes:
        first, last = min(form.classes), max(form.classes)
        raise ValueError(f"class {words[0]} is not in names, {first} … {last}")
    num_points, per_point = form.points
    height, width = size
    thing: dict = {"category_id": int(label)}
    if len(shares) == 4:
        return thing | {"bbox": _xywh(shares, words, size)}
    if num_points and len(shares) == 4 + num_points * per_point:
        points = _keypoints(shares[4:], per_point, size)
        return thing | {"bbox": _xywh(shares[:4], words, size), "keypoints": points}
    if num_points or len(shares) < 6 or len(shares) % 2:
        raise ValueError(_wrong_count(len(values), form))
    _check_shares(shares, words)
    xs, ys = [x * width for x in shares[::2]], [y * height for y in shares[1::2]]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    polygon = [side for point in zip(xs, ys, strict=True) for side in point]
    return thing | {"bbox": box, "segmentation": [polygon]}


def _wrong_count(count: int, form: LineForm) -> str:
    box = "5 numbers: class, x, y, width, height"
    num_points, per_point = form.points
    if num_points:
        return (
            f"{count} numbers, must be {5 + num_points * per_point}: class, x, y, "
            f"width, height and {num_points} keypoints of {per_point}"
        )
    return f"{count} numbers, must be {box}; or a class and 3 points or more"


def _xywh(shares: list[float], words: list[str], size: tuple[int, int]) -> list[float]:
    """The box of a center and sides, in pixels."""
    x, y, w, h = shares
    for side, word, name in ((w, words[3], "width"), (h, words[4], "height")):
        if side < 0:
            raise ValueError(f"{name} {word} must be >= 0")
    _check_shares([x - w / 2, y - h / 2, x + w / 2, y + h / 2], words)
    height, width = size
    x, y, w, h = x * width, y * height, w * width, h * height
    return [x - w / 2, y - h / 2, w, h]


def _check_shares(corners: list[float], words: list[str]) -> None:
    """Raises ValueError if no point of an object is in the image."""
    xs, ys = corners[::2], corners[1::2]
    if max(xs) < 0 or max(ys) < 0 or min(xs) > 1 or min(ys) > 1:
        pixels = " (these look like pixels)" if max(map(float, words[1:])) > 2 else ""
        raise ValueError(
            f"the object is outside of the image, must be {_SHARES}{pixels}"
        )


def _keypoints(
    shares: list[float], per_point: int, size: tuple[int, int]
) -> list[float]:
    """The x, y in pixels and 0, 1 or 2 of each point; all seen without these."""
    height, width = size
    keypoints = []
    for start in range(0, len(shares), per_point):
        x, y, *rest = shares[start : start + per_point]
        # Without visibility, tools write 0 or negative numbers for a point not there.
        seen = rest[0] if rest else 2 * (min(x, y) >= 0 and max(x, y) > 0)
        if seen not in (0, 1, 2):
            raise ValueError(f"visibility {seen:g} of a keypoint must be 0, 1 or 2")
        keypoints += [_rounded(x) * width, _rounded(y) * height, int(seen)]
    return keypoints


def _rounded(share: float) -> float:
    """The share without what rounding, as trainers allow it, puts out of the image."""
    inside = min(max(share, 0.0), 1.0)
    return inside if abs(share - inside) <= ROUNDING else share


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 80 else f"{line[:79]}…")
