"""Problems that make an annotation unusable, told beside its image.

A problem is its kind and the reason. The fields have been checked by
`annotation_rows`, but for the box.
"""

from typing import NamedTuple

from fpn_jax.data.bitmaps import segmentation_problem
from fpn_jax.data.defects import Defect

# More pixels than any image has; the product of two such numbers fits float32.
_INFINITE = 1e15

Problem = tuple[str, str]  # its kind, and the reason


class Tolerance(NamedTuple):
    """The distance that a box may reach out of its image by its tool's rounding.

    The larger of both counts.
    """

    pixels: float = 0.5
    share: float = 0.0  # of the image's width and height


HALF_A_PIXEL = Tolerance()


def object_problem(row: dict, image: dict) -> Problem | None:
    """Returns the problem of box, `iscrowd` or `area`, or None."""
    box = row["bbox"]
    if not _is_box(box):
        return "box of no numbers", f"bbox {box!r:.60} must be four finite numbers"
    x, y, width, height = box
    if width < 0 or height < 0:
        reason = f"bbox {box} must be x, y, width, height with sizes >= 0"
        return "corners swapped", reason
    if image["width"] is not None and (
        x > image["width"] or y > image["height"] or x + width < 0 or y + height < 0
    ):
        return "box outside", f"bbox {box} is outside of {_size(image)}"
    if row.get("iscrowd") not in (0, 1, None):
        return "field wrong", f"iscrowd {row['iscrowd']!r:.60} must be 0 or 1"
    area = row.get("area")
    if area is not None and not (_is_finite(area) and area >= 0):
        return "field wrong", f"area {area!r:.60} must be a finite number >= 0"
    return None


def points_problem(row: dict, num_points: int) -> Problem | None:
    """Returns the problem of the keypoints, which may be absent or empty, or None."""
    points = row.get("keypoints")
    if points is None or points == []:  # none is annotated
        return None
    if (
        isinstance(points, list)
        and len(points) == 3 * num_points
        and all(map(_is_finite, points))
        and set(points[2::3]) <= {0, 1, 2}
    ):
        return None
    return "keypoints wrong", (
        f"keypoints {points!r:.60} must be {num_points} times x, y and 0, 1 or 2, "
        "all finite"
    )


def mask_problem(row: dict, image: dict) -> Problem | None:
    """Returns the problem of the segmentation, or None."""
    segmentation, size = row.get("segmentation"), (image["height"], image["width"])
    if segmentation is None:
        return "segmentation wrong", "no segmentation or polygon, which masks need"
    if size[0] is None and isinstance(segmentation, dict):
        return "segmentation wrong", "segmentation: its image has no known size"
    problem = segmentation_problem(segmentation, *size)
    return ("segmentation wrong", f"segmentation: {problem}") if problem else None


def reaches_out(row: dict, image: dict, tolerance: Tolerance) -> Problem | None:
    """Says that a box is partly outside of its image, by more than the tolerance."""
    sides = image["width"], image["height"]
    if sides[0] is None:
        return None
    x, y, width, height = row["bbox"]
    for low, extent, side in zip((x, y), (width, height), sides, strict=True):
        slack = max(tolerance.pixels, tolerance.share * side)
        if low < -slack or low + extent > side + slack:
            reason = f"bbox {row['bbox']} reaches out of {_size(image)}"
            return "box reaches out", reason
    return None


def defect_of(row: dict, problem: Problem, file: str) -> Defect:
    """The defect of an annotation, with its box as xyxy where it is one."""
    kind, reason = problem
    box = None
    if _is_box(row["bbox"]):
        x, y, width, height = row["bbox"]
        box = (x, y, x + width, y + height)
    own = row["id"]
    place = own if isinstance(own, str) else f"annotation {own}"
    return Defect(kind, place, reason, file, box)


def _size(image: dict) -> str:
    return f"{image['width']} x {image['height']} pixels"


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_finite, value))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < _INFINITE
