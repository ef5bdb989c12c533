"""From the bytes of an image file to an RGB array."""

from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from fpn_jax.data.example import UnreadableImage

# What an image file may be called.
IMAGE_SUFFIXES = tuple(
    ".avif .bmp .gif .jp2 .jpeg .jpg .mpo .png .ppm .tif .tiff .webp".split()
)

# OpenCV's own threads would compete with the loader's and with the training step.
cv2.setNumThreads(0)


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Returns the image as uint8 [H, W, 3], RGB.

    Gray and palette images become RGB, transparency is dropped. An EXIF orientation is
    not applied: boxes of COCO and TFDS refer to the stored rows and columns.

    Raises:
        UnreadableImage: if the bytes are no image, or a truncated JPEG, which OpenCV
            would fill with gray. Names `name`.
    """
    image = None
    if data and not _is_truncated_jpeg(data):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise UnreadableImage(f"{name}: not a readable image ({len(data)} bytes)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def image_size(file: BinaryIO) -> tuple[int, int] | None:
    """Returns height and width as stored, from the header alone; None if unreadable."""
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _is_truncated_jpeg(data: bytes) -> bool:
    """True if the end marker is missing; some writers put padding behind it."""
    return data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-1024:]
