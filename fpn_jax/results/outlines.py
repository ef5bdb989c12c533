"""Outlines of masks as polygons."""

import cv2
import numpy as np


def largest_outline(mask: np.ndarray) -> np.ndarray | None:
    """Returns the outline of a mask's largest part; None of a mask without area.

    It is [P, 2] float32, x and y in pixels, of at least three corners, and runs through
    the centers of the outermost pixels. Holes and smaller parts are lost.
    """
    outlines, _ = cv2.findContours(
        np.asarray(mask, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)[:, 0]
    return largest.astype(np.float32) + 0.5 if len(largest) >= 3 else None
