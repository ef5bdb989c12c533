"""Defects of an example that can still be trained on, and notes.

Annotations that training refuses are found where they are read, in
`fpn_jax.data.formats.annotations`.
"""

import numpy as np

from fpn_jax.data.bitmaps import mask_box
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Example

# A mask's extent and its box differ by the rounding of a polygon to pixels, which is
# much of a tiny object. If they overlap less, one was changed without the other.
_MASK_OVERLAP = 0.5
# 14 bits of a sensor in a file of 16 end at 63 of 255, 12 bits at 15.
_DARK = 64
_TINY = 8  # pixels of a side, below which this says nothing
_ROUNDING = 0.5  # pixels that a point may be outside of its image
# Where corners are pixels that belong to it, as in Pascal VOC, a box of equal corners
# has an area; who drew it may have clicked only.
_DOUBT = "EXIF turn in doubt"
_DOT = "box of one pixel"


def example_defects(example: Example) -> list[Defect]:
    """Returns the defects of an example, in the order of its objects."""
    found = []
    for kind, reason in filter(
        None, [_pixels_problem(example), _turn_problem(example)]
    ):
        note = kind == _DOUBT
        found.append(Defect(kind, "image", reason, example.name, note=note))
    seen = set()
    for row, box in enumerate(example.boxes.tolist()):
        problems = [
            _area_problem(box),
            _repeated(seen, box, int(example.labels[row]), bool(example.crowd[row])),
            example.masks is not None and _mask_problem(box, example.masks[row]),
            example.keypoints is not None and _points_problem(example, row),
        ]
        for kind, reason in filter(None, problems):
            place = f"object {row + 1}"
            note = kind == _DOT
            found.append(Defect(kind, place, reason, example.name, tuple(box), note))
    return found


def _pixels_problem(example: Example) -> tuple[str, str] | None:
    if (example.image == example.image[:1, :1]).all():
        return "one color", "all pixels are equal"
    brightest = example.image.max()
    if brightest < _DARK:
        reason = (
            f"its largest value is {brightest} of 255, as when a sensor's 12 bits are "
            "stored in a file of 16: spread them over all 16"
        )
        return "dark", reason
    return None


def _turn_problem(example: Example) -> tuple[str, str] | None:
    if example.turn.sure:
        return None
    return _DOUBT, (
        f"EXIF asks for a turn (orientation {example.turn.orientation}), and no size "
        "says whether the turned photograph was annotated: the stored rows are taken"
    )


def _area_problem(box: list[float]) -> tuple[str, str] | None:
    x1, y1, x2, y2 = box
    if x1 < x2 and y1 < y2:
        dot = max(x2 - x1, y2 - y1) <= 1
        return (_DOT, f"box {_text(box)} is no larger") if dot else None
    return "box without area", f"box {_text(box)} is {x2 - x1:g} x {y2 - y1:g} pixels"


def _repeated(
    seen: set, box: list[float], label: int, crowd: bool
) -> tuple[str, str] | None:
    key = (*box, label, crowd)
    if key in seen:
        return "object twice", f"box {_text(box)} is there with the same class"
    seen.add(key)
    return None


def _mask_problem(box: list[float], mask: np.ndarray) -> tuple[str, str] | None:
    if not mask.any():
        return "mask empty", f"no pixel of the mask in box {_text(box)}"
    extent = mask_box(mask).tolist()
    x1, y1 = np.maximum(box[:2], extent[:2])
    x2, y2 = np.minimum(box[2:], extent[2:])
    shared = max(x2 - x1, 0) * max(y2 - y1, 0)
    total = _area(box) + _area(extent) - shared
    tiny = min(box[2] - box[0], box[3] - box[1]) < _TINY
    if tiny or shared >= _MASK_OVERLAP * total:
        return None
    return "mask apart", f"box {_text(box)}, its mask {_text(extent)}"


def _points_problem(example: Example, row: int) -> tuple[str, str] | None:
    height, width = example.image.shape[:2]
    if example.keypoints is None:
        return None
    x, y, visibility = example.keypoints[row].T
    far_x = (x < -_ROUNDING) | (x > width + _ROUNDING)
    far_y = (y < -_ROUNDING) | (y > height + _ROUNDING)
    outside = (visibility > 0) & (far_x | far_y)
    if not outside.any():
        return None
    point = int(np.flatnonzero(outside)[0])
    at = f"{x[point]:g}, {y[point]:g}"
    return "keypoint outside", f"point {point + 1} at {at} of {width} x {height} pixels"


def _area(box: tuple | list) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _text(box: tuple | list) -> str:
    return ", ".join(f"{side:g}" for side in box)
