"""What COCO's form says of an image, for data sets that know only its file."""

import re
from collections.abc import Sequence

from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.image import image_size

_MOST = 2**63 - 1  # ids travel as int64


def image_ids(stems: Sequence[str]) -> list[int]:
    """Returns the numbers that the stems are, or their places where one is no number.

    `000005` is 5 and `2007_000027` is 2007000027: the ids that COCO and Pascal VOC have
    in their own names, so that results can be told apart and traced. Places count from
    1, and ids are below 2**63: a name of more digits, such as a time stamp, is none.
    """
    numbers = [number for stem in stems if (number := number_of(stem)) is not None]
    if len(set(numbers)) < len(stems):
        return list(range(1, len(stems) + 1))
    return numbers


def number_of(stem: str) -> int | None:
    """Returns the number of 64 bits that the stem of a file is, or None."""
    digits = stem.replace("_", "").lstrip("0")
    if not re.fullmatch(r"[0-9][0-9_]*", stem) or len(digits) > len(str(_MOST)):
        return None
    number = int(digits or "0")
    return number if number <= _MOST else None


def image_row(
    folder: Folder,
    name: str,
    image_id: int,
    *,
    stated: tuple[float, float] | None = None,
    upright: bool = False,
) -> dict:
    """Returns the row of an image, with its own size if none is stated.

    The size is unknown (None) if the file is missing or is no image: taking its example
    then raises `UnreadableImage`.
    """
    if stated is not None:
        height, width = stated
        return {"id": image_id, "file_name": name, "height": height, "width": width}
    try:
        with folder.open(name) as file:
            height, width = image_size(file) or (None, None)
    except OSError:
        height = width = None
    return {"id": image_id, "file_name": name, "height": height, "width": width}
