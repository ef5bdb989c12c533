"""Images at another size: by OpenCV, or by NumPy where OpenCV is not installed.

Use needs no more than the core dependencies; data sets and training bring OpenCV.
"""

import numpy as np


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns an image [H, W] or [H, W, C] at another size, uint8 or float32.

    Bilinear with half-pixel centers, without antialiasing. NumPy's values differ from
    OpenCV's, which rounds weights to 1/2048, by at most 1 of 255.
    """
    try:
        import cv2
    except ImportError:
        return resized_by_numpy(image, height, width)
    return cv2.resize(image, (width, height))


def resized_by_numpy(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the resized image, made by NumPy alone."""
    above, below, y = _neighbors(image.shape[0], height)
    left, right, x = _neighbors(image.shape[1], width)
    channels = (1,) * (image.ndim - 2)
    y, x = y.reshape(-1, 1, *channels), x.reshape(-1, *channels)
    rows = image[above].astype(np.float32) * (1 - y) + image[below] * y
    result = rows[:, left] * (1 - x) + rows[:, right] * x
    if image.dtype == np.uint8:
        result = np.floor(result + np.float32(0.5))
    return result.astype(image.dtype)


def _neighbors(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns between which two pixels each new one lies, and the second's weight."""
    place = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    place = np.clip(place, 0, size - 1)
    first = place.astype(np.int64)
    weight = (place - first).astype(np.float32)
    return first, np.minimum(first + 1, size - 1), weight
