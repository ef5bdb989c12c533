"""Image files in memory, and a photograph whose EXIF says how to turn it."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 64, 48  # of the upright picture
SQUARE = (8, 40, 24, 56)  # xyxy, red on gray
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif_of(orientation: int) -> Image.Exif:
    """EXIF that asks for a turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def encoded(image: Image.Image | np.ndarray, form: str, **options) -> bytes:
    """The file that Pillow makes of an image."""
    file = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(file, form, **options)
    return file.getvalue()


def write_photograph(path: Path, orientation: int) -> None:
    """Writes the picture with its rows stored as the orientation, 1 … 8, has them."""
    upright = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    x1, y1, x2, y2 = SQUARE
    upright[y1:y2, x1:x2] = (255, 0, 0)
    picture = Image.fromarray(upright)
    if orientation in _STORED:
        picture = picture.transpose(_STORED[orientation])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95, exif=exif_of(orientation))


def is_red(image: np.ndarray, box: np.ndarray) -> bool:
    """Whether a box holds nothing but the square."""
    x1, y1, x2, y2 = box.astype(int)
    inside = image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]  # colors run over JPEG's edges
    return bool((abs(inside.astype(int) - (255, 0, 0)) < 40).all())
