"""What is annotated of a data set, checked before any image is read.

The form is the dictionary of a COCO annotation file, into which other kinds of files
are brought first. The id of an annotation may be a text that says where it stands.
"""

import collections
import logging
import math
import re
from typing import NamedTuple

import numpy as np

from fpn_jax.data.example import Category, KeypointSpec
from fpn_jax.data.masks import Segmentation, segmentation_problem

_log = logging.getLogger(__name__)


class Objects(NamedTuple):
    """The N annotations of an image."""

    table: np.ndarray  # [N, 7] float64: x1, y1, x2, y2, label, iscrowd, area
    keypoints: np.ndarray | None  # [N, P, 3] float32
    segmentations: list[Segmentation]  # N, or none where no masks are read


class Annotations(NamedTuple):
    """All of a data set."""

    categories: tuple[Category, ...]  # by rising id
    keypoint_spec: KeypointSpec | None
    images: list[dict]  # id, file_name, height, width; in their order
    objects: dict[int, Objects]  # of every image, by its id


def check_annotations(name: str, content: object, *, masks: bool) -> Annotations:
    """Returns the annotations, boxes cut to their images; see `AnnotatedImages`.

    Segmentations are checked and kept only if `masks`; nothing is decoded.
    """
    _check_fields(name, content)
    rows = sorted(content["categories"], key=lambda row: row["id"])
    categories = tuple(Category(row["id"], row["name"]) for row in rows)
    keypoint_spec = _keypoint_spec(name, rows)
    objects = _objects_by_image(name, content, categories, keypoint_spec, masks)
    return Annotations(categories, keypoint_spec, content["images"], objects)


def _check_fields(name: str, content: object) -> None:
    """Raises where one of the three lists, or a field that is read, is not there."""
    required = {
        "images": ("id", "file_name", "height", "width"),
        "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
    }
    problems = []
    for part, fields in required.items():
        rows = content.get(part) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            raise ValueError(f"{name}: not a COCO annotation file, no list {part!r}")
        for number, row in enumerate(rows):
            missing = [field for field in fields if field not in row]
            if missing:
                problems.append(f"{part}[{number}] has no {missing[0]!r}")
        counts = collections.Counter(row.get("id") for row in rows)
        problems += [f"id {i} repeated in {part}" for i, n in counts.items() if n > 1]
    _stop_if_any(name, problems)


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
    if not all(len(pair) == 2 and set(pair) <= points for pair in skeleton):
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
    name: str,
    content: dict[str, list[dict]],
    categories: tuple[Category, ...],
    keypoint_spec: KeypointSpec | None,
    masks: bool,
) -> dict[int, Objects]:
    images = {row["id"]: row for row in content["images"]}
    labels = {category.id: label for label, category in enumerate(categories)}
    num_points = len(keypoint_spec.names) if keypoint_spec else 0
    annotations = {image_id: [] for image_id in images}
    problems, cut = [], []
    for row in content["annotations"]:
        image = images.get(row["image_id"])
        problem = (
            _problem(row, image, labels)
            or (num_points and _keypoint_problem(row, num_points))
            or (masks and _mask_problem(row, image))
        )
        if problem:
            where = f" ({image['file_name']})" if image else ""
            problems.append(f"annotation {row['id']}{where}: {problem}")
            continue
        annotations[row["image_id"]].append(row)
        if _corners(row, image) != _corners(row):
            cut.append(row["id"])
    _stop_if_any(name, problems)
    if cut:
        _log.warning(
            "%s: %d boxes reach out of their image and were cut; the first: "
            "annotation %s",
            *(name, len(cut), cut[0]),
        )
    return {
        image_id: _objects(rows, images[image_id], labels, num_points, masks)
        for image_id, rows in annotations.items()
    }


def _objects(
    rows: list[dict], image: dict, labels: dict[int, int], num_points: int, masks: bool
) -> Objects:
    table = [
        [
            *_corners(row, image),
            labels[row["category_id"]],
            row.get("iscrowd", 0),
            row.get("area", row["bbox"][2] * row["bbox"][3]),
        ]
        for row in rows
    ]
    keypoints = None
    if num_points:
        keypoints = [row.get("keypoints", [0] * 3 * num_points) for row in rows]
        keypoints = np.reshape(keypoints, (-1, num_points, 3)).astype(np.float32)
    return Objects(
        table=np.array(table, float).reshape(-1, 7),
        keypoints=keypoints,
        segmentations=[_compact(row["segmentation"]) for row in rows if masks],
    )


def _corners(row: dict, image: dict | None = None) -> list[float]:
    """The box of an annotation as xyxy, cut to the image if there is one."""
    x, y, width, height = row["bbox"]
    if image is None:
        return [x, y, x + width, y + height]
    return [
        *(max(x, 0), max(y, 0)),
        *(min(x + width, image["width"]), min(y + height, image["height"])),
    ]


def _compact(segmentation: Segmentation) -> Segmentation:
    """The same in less memory: a list takes 32 bytes for a number, an array 8."""
    if isinstance(segmentation, dict):
        return segmentation
    return [np.asarray(polygon, float) for polygon in segmentation]


def _problem(row: dict, image: dict | None, labels: dict[int, int]) -> str | None:
    """What makes an annotation unusable, or None."""
    if image is None:
        return f"image_id {row['image_id']} is not in images"
    if row["category_id"] not in labels:
        return f"category_id {row['category_id']} is not in categories"
    box = row["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
        return f"bbox {box} must be four finite numbers"
    x, y, width, height = box
    if width < 0 or height < 0:
        return f"bbox {box} must be x, y, width, height with sizes >= 0"
    if x > image["width"] or y > image["height"] or x + width < 0 or y + height < 0:
        return f"bbox {box} is outside of {image['width']} x {image['height']} pixels"
    return None


def _keypoint_problem(row: dict, num_points: int) -> str | None:
    points = row.get("keypoints", [0] * 3 * num_points)  # none is annotated
    if (
        isinstance(points, list)
        and len(points) == 3 * num_points
        and all(map(_is_finite, points))
        and set(points[2::3]) <= {0, 1, 2}
    ):
        return None
    return (
        f"keypoints {points!r:.60} must be {num_points} times x, y and 0, 1 or 2, "
        "all finite"
    )


def _mask_problem(row: dict, image: dict) -> str | None:
    problem = segmentation_problem(
        row.get("segmentation"), image["height"], image["width"]
    )
    return problem and f"segmentation: {problem}"


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _stop_if_any(name: str, problems: list[str]) -> None:
    if problems:
        shown = "; ".join(problems[:3]) + ("; …" if len(problems) > 3 else "")
        raise ValueError(f"{name}: {len(problems)} problems: {shown}")
