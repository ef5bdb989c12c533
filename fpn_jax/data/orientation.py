"""The turn that EXIF asks for: one rule, for all that read photographs.

A camera stores the rows as its sensor has them, and writes a number, 1 … 8, that says
how to turn them upright. Which of the two pictures was annotated depends on the tools:

- Ultralytics' programs and image viewers turn photographs. The labels of YOLO therefore
  belong to the upright picture, and a detector is given upright pictures.
- Where a data set states the size of an image, it is the size of the annotated picture:
  as stored, or as turned.
- Where both have that size (a square, a half turn, a mirror image) or no size is
  stated, the stored rows are taken. Such a turn is not `sure`, and the doctor lists it.

Sizes are height and width.
"""

import cv2
import numpy as np

from fpn_jax.data.example import Turn

Size = tuple[float, float]

# What makes stored rows upright: whether rows and columns change places, and then the
# axis of `cv2.flip` (1: left and right, 0: top and bottom, -1: both).
_STEPS = {
    1: (False, None),
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
ORIENTATIONS = tuple(_STEPS)
# Quarter turns undo each other; all other turns undo themselves.
_BACK = {6: 8, 8: 6}


def choose_turn(
    stored: Size, orientation: int, *, stated: Size | None, upright: bool | None
) -> Turn | None:
    """Chooses the picture that was annotated; None if neither has the stated size.

    Args:
        stored: the size of the rows in the file.
        orientation: EXIF's, 1 … 8.
        stated: the size that the data set gives, or None.
        upright: True where the form of the data set has upright pictures, False where
            it says nothing and stored rows are taken, None where the size decides.
    """
    turned = turned_size(stored, orientation)
    if upright is not None:
        if stated not in (None, turned if upright else stored):
            return None
        return Turn(orientation, upright, sure=upright or orientation == 1)
    fits_stored, fits_turned = (stated in (None, size) for size in (stored, turned))
    if not (fits_stored or fits_turned):
        return None
    sure = orientation == 1 or fits_stored != fits_turned
    return Turn(orientation, not fits_stored, sure)


def turned_size(stored: Size, orientation: int) -> Size:
    """Returns the size of the upright picture."""
    height, width = stored
    transposed, _ = _STEPS[orientation]
    return (width, height) if transposed else (height, width)


def size_text(stored: Size, orientation: int) -> str:
    """Returns width x height, and what an upright picture has if that is another."""
    text, turned = (
        f"{size[1]} x {size[0]}" for size in (stored, turned_size(stored, orientation))
    )
    return text if text == turned else f"{text} (turned upright by EXIF {turned})"


def turned_upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the upright picture of stored rows, uint8 [H, W, 3]."""
    transposed, axis = _STEPS[orientation]
    picture = cv2.transpose(stored) if transposed else stored
    return picture if axis is None else cv2.flip(picture, axis)


def turned_back(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the stored rows of an upright picture, uint8 [H, W, 3]."""
    return turned_upright(upright, _BACK.get(orientation, orientation))
