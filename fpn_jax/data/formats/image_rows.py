"""COCO's row of an image, for data sets that know only its file."""

import re
from collections.abc import Sequence

from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.image_file import read_header
from fpn_jax.data.orientation import turned_size

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
    """Returns the row of an image: its id, name and size, and how it is turned.

    The size is unknown (None) if the file is missing or is no image: taking its example
    then raises `UnreadableImage`.

    Args:
        folder: of the image.
        name: of its file.
        image_id: its number.
        stated: height and width that the data set states; the file is not read then,
            and they decide whether a photograph is turned, see `orientation.py`. None:
            the file's own.
        upright: without `stated`, whether a photograph is turned as its EXIF asks.
    """
    row = {"id": image_id, "file_name": name}
    if stated is not None:
        return row | {"height": stated[0], "width": stated[1]}
    header = None
    try:
        with folder.open(name) as file:
            header = read_header(file)
    except OSError:
        pass
    height, width = (None, None)
    if header is not None:
        turned = turned_size(header.size, header.orientation)
        height, width = turned if upright else header.size
    return row | {"height": height, "width": width, "upright": upright}
