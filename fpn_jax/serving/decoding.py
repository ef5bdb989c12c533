"""From the bytes of a request to an image on its canvas."""

import io

import numpy as np

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.image import decode_image
from fpn_jax.data.image_file import stated_size
from fpn_jax.serving.engine import Engine, Placed
from fpn_jax.serving.refusals import Refused

_NAME = "image"


def placed_image(data: bytes, engine: Engine, most_pixels: int) -> Placed:
    """Returns an image file's picture, upright, on its canvas.

    Raises Refused where it is no image, or one of too many pixels; that is known from
    its header, before memory is taken for the pixels.
    """
    size = stated_size(io.BytesIO(data))
    if size is None:
        raise Refused(422, f"{_NAME}: not a readable image ({len(data)} bytes)")
    height, width = size
    if height * width > most_pixels:
        raise Refused(
            413,
            f"{_NAME}: {width} x {height} pixels, at most "
            f"{most_pixels / 1e6:g} million are taken",
        )
    return engine.place(_decoded(data))


def _decoded(data: bytes) -> np.ndarray:
    try:
        return decode_image(data, _NAME)
    except UnreadableImage as error:
        raise Refused(422, str(error)) from error
