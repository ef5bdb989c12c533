"""From the bytes of an image file to an RGB array, turned as it was annotated.

How a file is read is said in `image_file.py`, how photographs are turned in
`orientation.py`.
"""

import numpy as np

from fpn_jax.data.example import Turn, UnreadableImage
from fpn_jax.data.heif import HEIF_SUFFIXES, heif_decoder
from fpn_jax.data.image_file import stored_rows
from fpn_jax.data.orientation import Size, choose_turn, size_text, turned_upright

# What an image file may be called. HEIC is the last: its other copy opens faster.
IMAGE_SUFFIXES = (
    *".apng .avif .bmp .dib .gif .j2k .jfif .jp2 .jpe .jpeg .jpeg2000 .jpg".split(),
    *".mpo .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split(),
    *(HEIF_SUFFIXES if heif_decoder() else ()),
)


def decode_image(data: bytes, name: str, *, upright: bool = True) -> np.ndarray:
    """Returns the image as uint8 [H, W, 3], RGB.

    Gray and palette images become RGB, transparency is dropped, 16 bits become their
    upper 8, and of several pictures in a file the first is taken. Bytes behind the end
    of an image, as phones write them, do no harm.

    Args:
        data: the content of the file.
        name: of the file, for messages.
        upright: whether a photograph is turned as its EXIF asks.

    Raises:
        UnreadableImage: if the bytes are no image, or one that is cut off or has more
            than 2**30 pixels.
    """
    image, orientation = stored_rows(data, name)
    return turned_upright(image, orientation) if upright else image


def decode_annotated(
    data: bytes,
    name: str,
    *,
    upright: bool | None,
    stated: Size | None = None,
    source: str = "",
) -> tuple[np.ndarray, Turn]:
    """Returns the picture that was annotated, uint8 [H, W, 3] RGB, and its turn.

    Args:
        data: the content of the file.
        name: of the file, for messages.
        upright: whether that is the upright picture; None: the size decides, see
            `choose_turn`.
        stated: height and width that the data set gives, if it gives them.
        source: the data set, for messages.

    Raises:
        UnreadableImage: if the file is unreadable, see `decode_image`, or is of another
            size, stored and turned.
    """
    image, orientation = stored_rows(data, name)
    stored = image.shape[:2]
    turn = choose_turn(stored, orientation, stated=stated, upright=upright)
    if turn is None:
        found = f"the file is {size_text(stored, orientation)} pixels"
        stated = stated or stored
        raise UnreadableImage(
            f"{name}: {found}, {source} says {stated[1]} x {stated[0]}",
            kind="image unlike its rows",
        )
    return turned_upright(image, orientation) if turn.applied else image, turn
