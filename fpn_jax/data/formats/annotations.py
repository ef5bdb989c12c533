"""What is annotated of a data set, checked before any image is read.

The form is the dictionary of a COCO annotation file, into which other kinds of files
are brought first. The id of an annotation may be a text that says where it stands.
"""

import collections
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fpn_jax.data.bitmaps import Segmentation, segmentation_problem
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Category, KeypointSpec

# What fields may hold; sizes are None of files that are no images.
_ID, _SIZE = (int, float, str), (int, float, type(None))
_KINDS = {
    **{"id": _ID, "image_id": _ID, "category_id": _ID},
    **{"file_name": str, "height": _SIZE, "width": _SIZE},
}
_Problem = tuple[str, str]  # its kind, and the reason


@dataclass(frozen=True, slots=True)
class Objects:
    """The N annotations of an image."""

    boxes: np.ndarray  # [N, 4] float32, xyxy, cut to the image
    labels: np.ndarray  # [N] int32
    crowd: np.ndarray  # [N] bool
    areas: np.ndarray  # [N] float32
    keypoints: np.ndarray | None  # [N, P, 3] float32
    segmentations: list[Segmentation]  # N, or none where no masks are read


class Annotations(NamedTuple):
    """All of a data set that is sound, and what is not."""

    categories: tuple[Category, ...]  # by rising id
    keypoint_spec: KeypointSpec | None
    images: list[dict]  # id, file_name, height, width; in their order
    objects: dict[int, Objects]  # of every image, by its id
    defects: list[Defect]  # of what was left out
    cut: list[Defect]  # of boxes that reached out of their image


def read_annotations(name: str, content: object, *, masks: bool) -> Annotations:
    """Returns the annotations, boxes cut to their images; see `AnnotatedImages`.

    Segmentations are checked and kept only if `masks`; nothing is decoded. Raises
    ValueError for what is no such file, or has keypoints of unequal kinds.
    """
    defects = []
    rows = _sound_rows(name, content, defects)
    # Numbers in their order; texts, of which no known data set has ids, behind them.
    rows["categories"].sort(key=lambda row: (isinstance(row["id"], str), row["id"]))
    categories = tuple(Category(row["id"], row["name"]) for row in rows["categories"])
    keypoint_spec = _keypoint_spec(name, rows["categories"])
    cut = []
    objects = _objects_by_image(rows, categories, keypoint_spec, masks, defects, cut)
    return Annotations(categories, keypoint_spec, rows["images"], objects, defects, cut)


def stop_if_any(name: str, defects: list[Defect]) -> None:
    """Raises ValueError with the first three defects, in one line."""
    if defects:
        shown = "; ".join(map(str, defects[:3])) + ("; …" if len(defects) > 3 else "")
        raise ValueError(f"{name}: {len(defects)} problems: {shown}")


def _sound_rows(
    name: str, content: object, defects: list[Defect]
) -> dict[str, list[dict]]:
    """Keeps the rows with all required fields and an id of their own.

    The others become defects.
    """
    required = {
        "images": ("id", "file_name", "height", "width"),
        "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
    }
    sound = {}
    for part, fields in required.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise ValueError(f"{name}: not a COCO annotation file, no list {part!r}")
        counts, sound[part] = collections.Counter(), []
        for number, row in enumerate(rows):
            has = row if isinstance(row, dict) else {}
            place = f"{part}[{number}]"
            if missing := [field for field in fields if field not in has]:
                defects.append(Defect("field missing", place, f"no {missing[0]!r}"))
            elif wrong := _wrong_type(row, fields):
                reason = f"{wrong} is {row[wrong]!r:.60}"
                defects.append(Defect("field wrong", place, reason))
            else:
                counts[row["id"]] += 1
                if counts[row["id"]] == 1:
                    sound[part].append(row)
        for repeated in (i for i, count in counts.items() if count > 1):
            place, reason = f"id {repeated}", f"repeated in {part}"
            defects.append(Defect("id repeated", place, reason))
    return sound


def _wrong_type(row: dict, fields: Sequence[str]) -> str | None:
    """Name of the first field of a wrong type, or None; `bbox` is checked later."""
    for field in fields:
        kinds = _KINDS.get(field, object)
        if isinstance(row[field], bool) or not isinstance(row[field], kinds):
            return field
    return None


def _keypoint_spec(name: str, categories: list[dict]) -> KeypointSpec | None:
    """The keypoints that the categories name, or None if there are none."""
    having = [row for row in categories if row.get("keypoints")]
    if not having:
        return None
    for row in having[1:]:
        if row["keypoints"] != having[0]["keypoints"]:
            raise ValueError(
                f"{name}: categories {having[0]['name']!r} and {row['name']!r} have "
                "different keypoints, must be the same"
            )
    names = tuple(having[0]["keypoints"])
    skeleton = having[0].get("skeleton", [])
    points = set(range(1, len(names) + 1))  # COCO counts them from 1
    if not all(
        isinstance(pair, list) and len(pair) == 2 and set(pair) <= points
        for pair in skeleton
    ):
        raise ValueError(
            f"{name}: skeleton {skeleton!r:.60} must be pairs of 1 … {len(names)}"
        )
    return KeypointSpec(
        names=names,
        flip=_flip(names),
        skeleton=tuple((start - 1, end - 1) for start, end in skeleton),
    )


def _flip(names: tuple[str, ...]) -> tuple[int, ...]:
    """For each point the one on the other side, or itself."""
    other = {"left": "right", "right": "left"}
    mirrored = [re.sub("left|right", lambda m: other[m[0]], name) for name in names]
    return tuple(
        names.index(name) if name in names else place
        for place, name in enumerate(mirrored)
    )


def _objects_by_image(
    rows: dict[str, list[dict]],
    categories: tuple[Category, ...],
    keypoint_spec: KeypointSpec | None,
    masks: bool,
    defects: list[Defect],
    cut: list[Defect],
) -> dict[int, Objects]:
    """Returns the sound objects; adds what is left out to `defects`, and to `cut`."""
    images = {row["id"]: row for row in rows["images"]}
    labels = {category.id: label for label, category in enumerate(categories)}
    num_points = len(keypoint_spec.names) if keypoint_spec else 0
    annotations = {image_id: [] for image_id in images}
    for row in rows["annotations"]:
        image = images.get(row["image_id"])
        if image is None:
            reason = f"image_id {row['image_id']!r} is not in images"
            defects.append(_defect(row, ("image unknown", reason), ""))
            continue
        if problem := (
            _problem(row, image, labels)
            or (num_points and _keypoint_problem(row, num_points))
            or (masks and _mask_problem(row, image))
        ):
            defects.append(_defect(row, problem, image["file_name"]))
            continue
        annotations[row["image_id"]].append(row)
        if _corners(row, image) != _corners(row):
            size = f"{image['width']} x {image['height']} pixels"
            reason = f"bbox {row['bbox']} reaches out of {size}"
            cut.append(_defect(row, ("box reaches out", reason), image["file_name"]))
    return {
        image_id: _objects(of_image, images[image_id], labels, num_points, masks)
        for image_id, of_image in annotations.items()
    }


def _objects(
    rows: list[dict], image: dict, labels: dict[int, int], num_points: int, masks: bool
) -> Objects:
    areas = [row.get("area", row["bbox"][2] * row["bbox"][3]) for row in rows]
    keypoints = None
    if num_points:
        keypoints = [row.get("keypoints", [0] * 3 * num_points) for row in rows]
        keypoints = np.reshape(keypoints, (-1, num_points, 3)).astype(np.float32)
    return Objects(
        boxes=_float32([_corners(row, image) for row in rows]).reshape(-1, 4),
        labels=np.array([labels[row["category_id"]] for row in rows], np.int32),
        crowd=np.array([row.get("iscrowd", 0) for row in rows], np.bool_),
        areas=_float32(areas),
        keypoints=keypoints,
        segmentations=[_compact(row["segmentation"]) for row in rows if masks],
    )


def _float32(values: list) -> np.ndarray:
    """Integers may be too large for an array of integers."""
    return np.array(values, float).astype(np.float32)


def _corners(row: dict, image: dict | None = None) -> list[float]:
    """The box of an annotation as xyxy, cut to the image if there is one."""
    x, y, width, height = row["bbox"]
    if image is None:
        return [x, y, x + width, y + height]
    return [
        *(max(x, 0), max(y, 0)),
        *(min(x + width, image["width"]), min(y + height, image["height"])),
    ]


def _defect(row: dict, problem: _Problem, file: str) -> Defect:
    """The defect of an annotation, with its box as xyxy where it is one."""
    kind, reason = problem
    box = tuple(_corners(row)) if _is_box(row["bbox"]) else None
    return Defect(kind, f"annotation {row['id']}", reason, file, box)


def _compact(segmentation: Segmentation) -> Any:
    """The same in less memory: a list takes 32 bytes for a number, an array 8."""
    if isinstance(segmentation, dict):
        return segmentation
    return [np.asarray(polygon, float) for polygon in segmentation]


def _problem(row: dict, image: dict, labels: dict[int, int]) -> _Problem | None:
    """What makes an annotation unusable, or None."""
    if row["category_id"] not in labels:
        reason = f"category_id {row['category_id']!r} is not in categories"
        return "class unknown", reason
    if not (image["width"] and image["height"]):
        return "image without a size", "its image has no width and height"
    box = row["bbox"]
    if not _is_box(box):
        return "box of no numbers", f"bbox {box} must be four finite numbers"
    x, y, width, height = box
    if width < 0 or height < 0:
        reason = f"bbox {box} must be x, y, width, height with sizes >= 0"
        return "corners swapped", reason
    if x > image["width"] or y > image["height"] or x + width < 0 or y + height < 0:
        size = f"{image['width']} x {image['height']} pixels"
        return "box outside", f"bbox {box} is outside of {size}"
    if row.get("iscrowd", 0) not in (0, 1):
        return "field wrong", f"iscrowd {row['iscrowd']!r} must be 0 or 1"
    area = row.get("area", 0)
    if not (_is_finite(area) and area >= 0):
        return "field wrong", f"area {area!r} must be a number >= 0"
    return None


def _keypoint_problem(row: dict, num_points: int) -> _Problem | None:
    points = row.get("keypoints", [0] * 3 * num_points)  # none is annotated
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


def _mask_problem(row: dict, image: dict) -> _Problem | None:
    problem = segmentation_problem(
        row.get("segmentation"), image["height"], image["width"]
    )
    return ("segmentation wrong", f"segmentation: {problem}") if problem else None


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_finite, value))


def _is_finite(value: object) -> bool:
    # An integer of hundreds of digits has no float.
    return isinstance(value, int | float) and abs(value) < sys.float_info.max
