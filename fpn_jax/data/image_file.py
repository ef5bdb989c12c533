"""From an image file to its size, and to its rows as they are stored.

Pillow alone says whether a file is an image and of which size. It decodes the pixels
too, or OpenCV does, whose pixels count where they have Pillow's size. OpenCV alone
reads kinds of files that Pillow does not know, such as Radiance's: their size is the
shape of the pixels. Pillow reads HEIC by a plugin (`heif.py`).
"""

import io
import threading
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.file_kind import named_kind
from fpn_jax.data.heif import HEAD, heif_forms, is_heif
from fpn_jax.data.jpeg_end import has_end_marker
from fpn_jax.data.orientation import ORIENTATIONS, turned_back

# OpenCV's own threads would compete with the loader's and with the training step.
cv2.setNumThreads(0)

# Pillow's names. It has others that run foreign programs (EPS) or describe no pixels.
_FORMS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
_MAX_PIXELS = 2**30  # OpenCV's limit; Pillow's is a sixth of it
# Pixels that a byte can stand for. A block of 64 in JPEG takes a bit or more, a run of
# 12 bits in GIF has up to 3838 pixels, and a byte of PNG is 1032 bytes of 8 pixels.
_MOST_OF_A_BYTE = {"JPEG": 512, "MPO": 512, "GIF": 4096, "PNG": 8256}
# JPEG takes a fifth less time so, and half the memory, for the same pixels. Pillow 13
# rounds 16 bits of JPEG 2000 up, and white becomes black.
_OPENCV_FIRST = ("JPEG", "MPO", "JPEG2000")
_BAND = 2**20  # pixels that are converted at a time
_PILLOWS_LIMIT = threading.Lock()


class Header(NamedTuple):
    """The facts of an image file that are known without its pixels."""

    size: tuple[int, int]  # height, width of the stored rows
    orientation: int  # EXIF's, 1 … 8


def read_header(file: BinaryIO) -> Header | None:
    """Returns the size and orientation of an image file; None if it is unreadable.

    No pixel is decoded, except of kinds that only OpenCV knows.
    """
    picture = _opened(file)
    if picture is None:
        file.seek(0)
        image = _unknown_to_pillow(file.read())
        return None if image is None else Header(image.shape[:2], 1)
    return _header(picture)


def stated_size(file: BinaryIO) -> tuple[int, int] | None:
    """Returns the height and width that an image file states; decodes no pixel.

    None where it is no image, or of a kind whose size only its pixels tell.
    """
    picture = _opened(file)
    header = None if picture is None else _header(picture)
    return None if header is None else header.size


def stored_rows(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Returns the rows as they are stored, uint8 [H, W, 3] RGB, and the orientation.

    The orientation is EXIF's, 1 … 8. `name` is the file's, for messages. Raises
    UnreadableImage; `image.decode_image` says for what.
    """
    picture = _opened(io.BytesIO(data))
    header, problem = None, ""
    if picture is None:
        image = _unknown_to_pillow(data)
    elif (header := _header(picture)) is None:
        image, problem = None, "; too large"
    else:
        image, problem = _by_either(picture, data, header)
    if image is None:
        if picture is None and (kind := named_kind(data)):
            problem = f"; {kind}"
        raise UnreadableImage(
            f"{name}: not a readable image ({len(data)} bytes{problem})"
        )
    return image, 1 if header is None else header.orientation


def _opened(file: BinaryIO) -> Image.Image | None:
    """Returns the image with its pixels still to be read; None if it is none."""
    # Pillow's limit protects servers from strangers; these files are the user's own.
    # It stays for others in this process: the lock keeps it between our threads.
    with _PILLOWS_LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            start = file.read(HEAD)
            file.seek(0)
            more = heif_forms() if is_heif(start) else ()
            return Image.open(file, formats=(*_FORMS, *more))
        except Exception:  # Pillow lets through what its plugins come upon
            return None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _header(picture: Image.Image) -> Header | None:
    """Returns the facts of an opened image; None if its size cannot be."""
    try:
        width, height = picture.size
        tags = getattr(picture, "tag_v2", {})  # TIFF's: `size` may be the turned one
        width = tags.get(ExifTags.Base.ImageWidth, width)
        height = tags.get(ExifTags.Base.ImageLength, height)
        possible = 0 < width * height <= _MAX_PIXELS
    except Exception:  # broken tags
        return None
    try:
        # Not PNG's own method, which decodes the image to look behind its pixels.
        orientation = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF is none
        orientation = 1
    orientation = orientation if orientation in ORIENTATIONS else 1
    return Header((height, width), orientation) if possible else None


def _by_either(
    picture: Image.Image, data: bytes, header: Header
) -> tuple[np.ndarray | None, str]:
    """Returns the stored rows, or None, and what was wrong."""
    form = picture.format or ""
    if problem := _lack(form, data, header.size):
        return None, problem
    image = _by_opencv(data) if form in _OPENCV_FIRST else None
    if image is None or image.shape[:2] != header.size:
        try:
            image = _by_pillow(picture)
        except Exception as error:
            image, problem = None, f"; {' '.join(str(error).split())}"
    if form == "TIFF":
        image = _by_opencv(data) if image is None else image
        # Both libraries turn TIFF, whatever they are told.
        image = None if image is None else turned_back(image, header.orientation)
    if image is not None and image.shape[:2] != header.size:
        return None, "; its header states another size"
    return image, problem


def _lack(form: str, data: bytes, size: tuple[int, int]) -> str:
    """Says what a file has too little of, or ""."""
    if form in ("JPEG", "MPO") and not has_end_marker(data):
        return "; cut off or damaged: no end marker behind its pixels"
    height, width = size
    if height * width > len(data) * _MOST_OF_A_BYTE.get(form, _MAX_PIXELS):
        return f"; too few for {width} x {height} pixels"
    return ""


def _by_pillow(picture: Image.Image) -> np.ndarray:
    """Returns the pixels, converted in bands: of a large image two copies are many.

    Raises whatever Pillow does where the file is cut off or broken.
    """
    picture.load()
    picture.info.pop("transparency", None)  # dropped, without a warning
    width, height = picture.size
    image = np.empty((height, width, 3), np.uint8)
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        whole = rows >= height
        band = picture if whole else picture.crop((0, top, width, bottom))
        image[top:bottom] = _rgb(band, picture.format)
    return image


def _rgb(band: Image.Image, form: str | None) -> np.ndarray:
    """Returns pixels that can be written into uint8 [H, W, 3]."""
    if band.mode == "RGB":
        return np.asarray(band)
    # PNG and PPM of 16 bits may be of 32 in Pillow.
    if band.mode.startswith("I;16") or (band.mode == "I" and form in ("PNG", "PPM")):
        return (np.asarray(band) >> 8).astype(np.uint8)[..., None]
    if band.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits, which have no known range")
    return np.asarray(band.convert("RGB"))


def _by_opencv(data: bytes) -> np.ndarray | None:
    """Returns the pixels, or None."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # larger than its limits
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _unknown_to_pillow(data: bytes) -> np.ndarray | None:
    """Returns the pixels of a file that Pillow cannot open, or None.

    A broken JPEG is none: OpenCV fills it with gray, and warns only. Of PNG it may be a
    remark that is damaged.
    """
    jpeg, png = data.startswith(b"\xff\xd8"), data.startswith(b"\x89PNG")
    return None if jpeg or (png and not _is_whole_png(data)) else _by_opencv(data)


def _is_whole_png(data: bytes) -> bool:
    """Whether its parts reach the end; OpenCV takes gigabytes for damaged lengths."""
    width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
    place = 8
    while place < len(data) and data[place + 4 : place + 8] != b"IEND":
        place += 12 + int.from_bytes(data[place : place + 4])  # length, name, checksum
    return place < len(data) and width * height <= len(data) * _MOST_OF_A_BYTE["PNG"]
