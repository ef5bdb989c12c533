"""What COCO's form says of an image, for data sets that know only its file."""

import re
from collections.abc import Sequence

from fpn_jax.data.formats.folder import Folder
from fpn_jax.data.image import image_size


def image_ids(stems: Sequence[str]) -> list[int]:
    """Returns the numbers that the stems are, or their places where one is no number.

    `000005` is 5 and `2007_000027` is 2007000027: the ids that COCO and Pascal VOC have
    in their own names, so that results can be told apart and traced.
    """
    numbers = [number for stem in stems if (number := number_of(stem)) is not None]
    if len(set(numbers)) < len(stems):
        return list(range(len(stems)))
    return numbers


def number_of(stem: str) -> int | None:
    """Returns the number that the stem of a file is, or None."""
    return int(stem.replace("_", "")) if re.fullmatch(r"\d[\d_]*", stem) else None


def image_row(folder: Folder, name: str, image_id: int) -> dict:
    """Returns the row of an image, whose size is read from its header.

    The size is unknown (None) if the file is missing or is no image: taking its example
    then raises `UnreadableImage`.
    """
    try:
        with folder.open(name) as file:
            height, width = image_size(file) or (None, None)
    except OSError:
        height = width = None
    return {"id": image_id, "file_name": name, "height": height, "width": width}
