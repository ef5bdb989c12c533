"""Objects on images: boxes, masks, keypoints and their tags.

Images are RGB uint8 [H, W, 3], and everything else is in their pixels. Nothing is drawn
in place.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from fpn_jax.types import Detections

# Okabe and Ito's palette without black: distinct for color-blind readers too.
_DISTINCT = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
# More classes get the same seven colors darker, then lighter.
_COLORS = (
    *_DISTINCT,
    *(tuple(side * 3 // 5 for side in color) for color in _DISTINCT),
    *(tuple(side + (255 - side) * 3 // 5 for side in color) for color in _DISTINCT),
)
Plate = tuple[int, int, int, int]
"""The area of a tag: left, top, right, bottom, in whole pixels."""

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MASK_OPACITY = 0.4


def draw_detections(
    image: np.ndarray,
    found: Detections,
    *,
    names: Sequence[str] = (),
    skeleton: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """A copy of the image with the masks, boxes, keypoints and tags of the detections.

    Masks are bitmaps [D, H, W] of the image. Colors and tags go by class if more than
    one is named; otherwise every object has a color of its own and a tag of its score.
    """
    labels = found.labels if len(names) > 1 else None
    canvas = image
    if found.masks is not None:
        canvas = draw_masks(canvas, found.masks, labels=labels, valid=found.valid)
    canvas = draw_boxes(
        canvas,
        found.boxes,
        scores=found.scores,
        labels=labels,
        names=names,
        valid=found.valid,
    )
    if found.keypoints is not None:
        canvas = draw_keypoints(
            canvas,
            found.keypoints,
            skeleton=skeleton,
            labels=labels,
            valid=found.valid,
        )
    return canvas


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    *,
    scores: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the image with the valid boxes, each under a tag of name and score.

    Colors go by label, or by row without labels. The tag is the label's name (its
    number without names) and the score in percent. Earlier boxes lie on top. Tags are
    smaller where boxes are small; one that would cover another is left out.
    """
    canvas = np.array(image, order="C")
    colored = _colored_rows(len(boxes), labels, valid)
    thickness = _line_width(canvas, boxes[[row for row, _ in colored]])
    for row, color in colored:
        cv2.rectangle(canvas, *_corners(boxes[row]), color, thickness)
    scale = _text_scale(canvas, boxes[[row for row, _ in colored]])
    taken: list[Plate] = []
    for row, color in reversed(colored):  # earlier boxes choose their place first
        tag = _tag(row, scores, labels, names)
        plate = _free_plate(canvas, tag, boxes[row], scale, taken) if tag else None
        if plate is not None:
            _draw_plate(canvas, tag, plate, scale, color)
            taken.append(plate)
    return canvas


def draw_masks(
    image: np.ndarray,
    masks: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the image with the valid bitmaps [D, H, W] as outlined, clear areas.

    Colors go by label, or by row without labels. Earlier masks lie on top.
    """
    canvas = np.array(image, order="C")
    for row, color in _colored_rows(len(masks), labels, valid):
        mask = np.asarray(masks[row], np.uint8)
        inside = mask > 0
        canvas[inside] = np.rint(
            (1 - _MASK_OPACITY) * canvas[inside] + _MASK_OPACITY * np.array(color)
        )
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, color, _line_width(canvas) // 2)
    return canvas


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    *,
    skeleton: Sequence[tuple[int, int]] = (),
    labels: np.ndarray | None = None,
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of the image with the keypoints [D, P, 2] of the valid objects as dots.

    The skeleton's pairs of points are joined by lines. Colors go by label, or by row
    without labels.
    """
    canvas = np.array(image, order="C")
    thickness = _line_width(canvas)
    for row, color in _colored_rows(len(keypoints), labels, valid):
        points = [
            tuple(point) for point in np.rint(keypoints[row]).astype(int).tolist()
        ]
        for first, last in skeleton:
            cv2.line(canvas, points[first], points[last], color, thickness)
        for point in points:
            cv2.circle(canvas, point, thickness + 2, BLACK, cv2.FILLED)
            cv2.circle(canvas, point, thickness + 1, color, cv2.FILLED)
    return canvas


def draw_truth(
    image: np.ndarray,
    boxes: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    names: Sequence[str] = (),
) -> np.ndarray:
    """A copy of the image with the valid boxes dashed in black and white.

    Where `names` has one for each box, it is written in white at its lower right.
    """
    canvas = np.array(image, order="C")
    thickness = _line_width(canvas) // 2
    scale = _text_scale(canvas, boxes[_rows(len(boxes), valid)])
    for row in map(int, _rows(len(boxes), valid)):
        (left, top), (right, bottom) = _corners(boxes[row])
        outline = [(left, top), (right, top), (right, bottom), (left, bottom)]
        for start, end in zip(outline, outline[1:] + outline[:1], strict=True):
            cv2.line(canvas, start, end, BLACK, thickness)
            _draw_dashes(canvas, start, end, thickness)
        if names:
            # At the right, where tags of detections come last.
            plate = _plate(canvas, names[row], (left, top), scale)
            width, height = plate[2] - plate[0], plate[3] - plate[1]
            corner = right - width, min(bottom + height, canvas.shape[0] - 1)
            plate = _plate(canvas, names[row], corner, scale)
            _draw_plate(canvas, names[row], plate, scale, WHITE)
    return canvas


def draw_tag(image: np.ndarray, text: str, corner: tuple, color: tuple) -> None:
    """Draws the text on a plate of the color, above the corner or inside the image."""
    scale = _text_scale(image)
    _draw_plate(image, text, _plate(image, text, corner, scale), scale, color)


def _plate(
    image: np.ndarray, text: str, corner: tuple[int, int], scale: float
) -> Plate:
    """Returns the plate of a text whose lower left is the corner, inside the image."""
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    left = int(np.clip(corner[0], 0, max(0, image.shape[1] - width - 4)))
    bottom = int(max(corner[1], height + below + 4))
    return left, bottom - height - below - 4, left + width + 4, bottom


def _free_plate(
    image: np.ndarray,
    text: str,
    box: np.ndarray,
    scale: float,
    taken: Sequence[Plate],
) -> Plate | None:
    """Returns a plate at one of the box's corners, or above, that covers no other."""
    (left, top), (right, bottom) = _corners(box)
    plate = _plate(image, text, (left, top), scale)
    width, height = plate[2] - plate[0], plate[3] - plate[1]
    corners = [
        (left, top),
        (left, top + height),  # inside the box
        (right - width, top),
        (left, min(bottom + height, image.shape[0] - 1)),  # below it
        (right - width, top + height),
        (left, top - height),
    ]
    plates = [_plate(image, text, corner, scale) for corner in corners]
    free = (p for p in plates if not any(_overlap(p, other) for other in taken))
    return next(free, None)


def _overlap(one: Plate, other: Plate) -> bool:
    beside = one[2] < other[0] or other[2] < one[0]
    return not beside and one[1] < other[3] and other[1] < one[3]


def _draw_plate(
    image: np.ndarray, text: str, plate: Plate, scale: float, color: tuple
) -> None:
    below = cv2.getTextSize(text, _FONT, scale, 1)[1]
    cv2.rectangle(image, plate[:2], plate[2:], color, cv2.FILLED)
    # Rec. 601 luma: black text on light plates, white on dark.
    ink = BLACK if np.dot(color, (0.299, 0.587, 0.114)) > 110 else WHITE
    origin = (plate[0] + 2, plate[3] - below - 1)
    cv2.putText(image, text, origin, _FONT, scale, ink, 1, cv2.LINE_AA)


def _text_scale(image: np.ndarray, boxes: np.ndarray | None = None) -> float:
    """Returns the size of text for an image, smaller where most boxes are small."""
    scale = max(1.0, min(image.shape[:2]) / 480)
    scale = min(scale, max(1.0, _median_height(boxes) / 40))  # 15 pixels high at 1.0
    return 0.38 * scale


def _rows(num: int, valid: np.ndarray | None) -> np.ndarray:
    return np.arange(num) if valid is None else np.flatnonzero(valid)


def _colored_rows(
    num: int, labels: np.ndarray | None, valid: np.ndarray | None
) -> list[tuple[int, tuple[int, int, int]]]:
    """The valid rows from the last to the first, and the color of each."""
    rows = _rows(num, valid)[::-1]
    numbers = rows if labels is None else np.asarray(labels)[rows]
    return [
        (row, _COLORS[number % len(_COLORS)])
        for row, number in zip(rows, numbers, strict=True)
    ]


def _corners(box: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, right, bottom = (round(float(side)) for side in box)
    return (left, top), (right, bottom)


def _line_width(image: np.ndarray, boxes: np.ndarray | None = None) -> int:
    """2 pixels, and 1 more for every 300 of the shorter side above 600.

    Lines around boxes take at most a twentieth of most boxes' height.
    """
    width = min(image.shape[:2]) / 300
    return max(2, round(min(width, _median_height(boxes) / 20)))


def _median_height(boxes: np.ndarray | None) -> float:
    """Returns infinity of no boxes."""
    if boxes is None or not len(boxes):
        return np.inf
    return float(np.median(boxes[:, 3] - boxes[:, 1]))


def _tag(
    row: int,
    scores: np.ndarray | None,
    labels: np.ndarray | None,
    names: Sequence[str] | None,
) -> str:
    parts = []
    if labels is not None:
        label = int(labels[row])
        parts.append(str(label) if names is None else names[label])
    if scores is not None:
        parts.append(f"{100 * float(scores[row]):.0f}%")
    return " ".join(parts)


def _draw_dashes(image: np.ndarray, start: tuple, end: tuple, thickness: int) -> None:
    dash = 5 * thickness
    way = np.subtract(end, start)
    length = np.abs(way).max()
    for offset in range(0, length, 2 * dash):
        ends = np.minimum([offset, offset + dash], length)[:, None] / length
        one, other = np.rint(start + ends * way).astype(int).tolist()
        cv2.line(image, one, other, WHITE, thickness)
