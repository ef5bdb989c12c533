"""The annotations of a data set, checked before any image is read.

The form is the dictionary of a COCO annotation file, into which other kinds of files
are brought first. The id of an annotation may be a text that says where it stands.
"""

import collections
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fpn_jax.data.bitmaps import Segmentation, rle_area, segmentation_rle
from fpn_jax.data.defects import Defect
from fpn_jax.data.example import Category, KeypointSpec, Truth
from fpn_jax.data.formats.annotation_problems import (
    HALF_A_PIXEL,
    Tolerance,
    defect_of,
    mask_problem,
    object_problem,
    points_problem,
    reaches_out,
)
from fpn_jax.data.formats.annotation_rows import Rows, sound_rows, whole_number
from fpn_jax.data.formats.keypoint_fields import flip_notes, keypoint_spec

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True)
class Objects:
    """The N annotations of an image."""

    xywh: np.ndarray  # [N, 4] float64, as the file has them
    boxes: np.ndarray  # [N, 4] float32, xyxy, cut to the image
    labels: np.ndarray  # [N] int32
    crowd: np.ndarray  # [N] bool
    areas: np.ndarray  # [N] float64; NaN: the area of the mask
    keypoints: np.ndarray | None  # [N, P, 3] float64
    num_keypoints: np.ndarray | None  # [N] int64, as the file counts those annotated
    segmentations: list[Segmentation] | None  # None where no masks are read

    def areas_of(self, masks: np.ndarray | None) -> np.ndarray:
        """The areas, [N] float32; bitmaps [N, H, W] give those that are not there."""
        areas = self.areas
        if masks is not None and np.isnan(areas).any():
            areas = np.where(np.isnan(areas), masks.sum(axis=(1, 2)), areas)
        return areas.astype(np.float32)


class Annotations(NamedTuple):
    """The sound part of a data set, and the defects of the rest."""

    categories: tuple[Category, ...]  # by rising id
    keypoint_spec: KeypointSpec | None
    images: list[dict]  # id, file_name, height, width; in their order
    objects: dict[int, Objects]  # of every image, by its id
    defects: list[Defect]  # of what was left out
    cut: list[Defect]  # of boxes that reached out of their image
    notes: list[Defect]  # no faults, but worth knowing


def read_annotations(
    name: str,
    content: object,
    *,
    masks: bool,
    measure: Callable[[str], Size | None] = lambda file: None,
    tolerance: Tolerance = HALF_A_PIXEL,
) -> Annotations:
    """Returns the annotations, boxes cut to their images; see `AnnotatedImages`.

    Args:
        name: of the data set, for messages.
        content: the dictionary of a COCO annotation file.
        masks: whether segmentations are checked and kept; nothing is decoded.
        measure: gives the size of an image file, None if it is unreadable. It is asked
            where the content does not say a size.
        tolerance: how far boxes may reach out of their image by rounding.

    Raises:
        ValueError: if it is no such file, or has keypoints of unequal kinds.
    """
    defects, cut = [], []
    rows = sound_rows(name, content, defects)
    for row in rows.images:
        if row["height"] is None or row["width"] is None:
            row["height"], row["width"] = measure(row["file_name"]) or (None, None)
            row["upright"] = False  # for nothing says whether it is
    spec = keypoint_spec(name, rows.categories)
    objects = _objects_by_image(rows, spec, masks, tolerance, defects, cut)
    categories = tuple(Category(row["id"], row["name"]) for row in rows.categories)
    notes = flip_notes(spec, rows.categories)
    return Annotations(categories, spec, rows.images, objects, defects, cut, notes)


def stop_if_any(name: str, defects: list[Defect]) -> None:
    """Raises ValueError with the first three defects, in one line."""
    if defects:
        shown = "; ".join(map(str, defects[:3])) + ("; …" if len(defects) > 3 else "")
        raise ValueError(f"{name}: {len(defects)} problems: {shown}")


def truth_of(image: dict, size: Size, objects: Objects) -> Truth:
    """The objects of an image as the file has them."""
    segmentations, areas = None, objects.areas
    if objects.segmentations is not None:
        segmentations = [segmentation_rle(s, *size) for s in objects.segmentations]
        areas = [
            rle_area(rle) if math.isnan(area) else area
            for area, rle in zip(areas.tolist(), segmentations, strict=True)
        ]
    return Truth(
        image_id=image["id"],
        name=image["file_name"],
        size=size,
        xywh=objects.xywh,
        labels=objects.labels,
        crowd=objects.crowd,
        areas=np.asarray(areas, float),
        segmentations=segmentations,
        keypoints=objects.keypoints,
        num_keypoints=objects.num_keypoints,
    )


def _objects_by_image(
    rows: Rows,
    spec: KeypointSpec | None,
    masks: bool,
    tolerance: Tolerance,
    defects: list[Defect],
    cut: list[Defect],
) -> dict[int, Objects]:
    """Returns the sound objects; adds to `defects` and to `cut`."""
    images = {row["id"]: row for row in rows.images}
    labels = {row["id"]: label for label, row in enumerate(rows.categories)}
    num_points = len(spec.names) if spec else 0
    annotations = {image_id: [] for image_id in images}
    unknown = collections.defaultdict(list)
    for row in rows.annotations:
        image = images.get(row["image_id"])
        if image is None or row["category_id"] not in labels:
            unknown["category_id" if image else "image_id"].append(row)
        elif problem := (
            object_problem(row, image)
            or (num_points and points_problem(row, num_points))
            or (masks and mask_problem(row, image))
        ):
            defects.append(defect_of(row, problem, image["file_name"]))
        else:
            annotations[row["image_id"]].append(row)
            if problem := reaches_out(row, image, tolerance):
                cut.append(defect_of(row, problem, image["file_name"]))
    defects += _unknown(unknown["image_id"], "image_id", images)
    defects += _unknown(unknown["category_id"], "category_id", images)
    return {
        image_id: _objects(of_image, images[image_id], labels, num_points, masks)
        for image_id, of_image in annotations.items()
    }


def _unknown(
    rows: list[dict], field: str, images: Mapping[int, dict]
) -> Iterator[Defect]:
    """Yields a defect for each id that no image or class has, with the first of it."""
    kind = {"image_id": "image unknown", "category_id": "class unknown"}[field]
    part = {"image_id": "images", "category_id": "categories"}[field]
    having = collections.defaultdict(list)
    for row in rows:
        having[row[field]].append(row)
    for unknown, (first, *others) in having.items():
        more = f" ({len(others)} more annotations have it)" if others else ""
        reason = f"{field} {unknown!r} is not in {part}{more}"
        file = images.get(first["image_id"], {}).get("file_name", "")
        yield defect_of(first, (kind, reason), file)


def _objects(
    rows: list[dict], image: dict, labels: dict[int, int], num_points: int, masks: bool
) -> Objects:
    keypoints = counts = None
    if num_points:
        none = [0] * 3 * num_points
        keypoints = [row.get("keypoints") or none for row in rows]
        keypoints = np.array(keypoints, float).reshape(-1, num_points, 3)
        counts = np.array(list(map(_num_annotated, rows, keypoints)), np.int64)
    size = image["height"], image["width"]
    # Integers may be too large for an array of integers.
    xywh = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
    return Objects(
        xywh=xywh,
        boxes=_cut(xywh, *size),
        labels=np.array([labels[row["category_id"]] for row in rows], np.int32),
        crowd=np.array([row.get("iscrowd") or 0 for row in rows], np.bool_),
        areas=np.array([_area(row, masks) for row in rows], float),
        keypoints=keypoints,
        num_keypoints=counts,
        segmentations=[_compact(row["segmentation"]) for row in rows]
        if masks
        else None,
    )


def _num_annotated(row: dict, points: np.ndarray) -> int:
    """The number of annotated keypoints that a row states, or else has."""
    stated = whole_number(row.get("num_keypoints"))
    return int((points[:, 2] > 0).sum()) if stated is None else stated


def _cut(xywh: np.ndarray, height: int | None, width: int | None) -> np.ndarray:
    """The boxes as xyxy, float32, without what is outside of the image."""
    low, high = xywh[:, :2], xywh[:, :2] + xywh[:, 2:]
    if height is not None and width is not None:
        low, high = np.maximum(low, 0), np.minimum(high, [width, height])
    return np.concatenate([low, high], axis=1).astype(np.float32)


def _area(row: dict, masks: bool) -> float:
    """The annotated area; without one NaN for the mask's, or the area of the box."""
    if row.get("area") is not None:
        return float(row["area"])
    return math.nan if masks else float(row["bbox"][2]) * float(row["bbox"][3])


def _compact(segmentation: Segmentation) -> Any:
    """The same in less memory: a list takes 32 bytes for a number, an array 8."""
    if isinstance(segmentation, dict):
        return segmentation
    return [np.asarray(polygon, float) for polygon in segmentation]
