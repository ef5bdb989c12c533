"""The confusion matrix: how often a detector takes one class for another."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def confusion_matrix(
    ground_truth: Mapping,
    results: Sequence[Mapping],
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = 0.25,
) -> np.ndarray:
    """Counts of objects by true class (row) and found class (column), [K+1, K+1] int64.

    Classes are the categories of the ground truth by id. The last row holds what was
    found where no object is, the last column objects that were not found. In an image,
    the pair of object and result with the highest IoU is taken first, whatever their
    classes, and each is taken once. A result that has no object but lies in a crowd
    region is not counted, nor is the region. The thresholds are the usual ones of such
    matrices, not COCO's.

    Args:
        ground_truth: an annotation dictionary.
        results: COCO results.
        iou_threshold: lowest IoU of a pair.
        score_threshold: results below it are left out.
    """
    ids = sorted(category["id"] for category in ground_truth["categories"])
    classes = {category: number for number, category in enumerate(ids)}
    matrix = np.zeros((len(ids) + 1, len(ids) + 1), np.int64)
    truth = by_image(ground_truth["annotations"])
    found = by_image(
        result
        for result in results
        if result["score"] >= score_threshold and result["category_id"] in classes
    )
    for image in truth.keys() | found.keys():
        _count_image(
            matrix, truth.get(image, []), found.get(image, []), classes, iou_threshold
        )
    return matrix


def by_image(rows: Iterable[Mapping]) -> dict[int, list[Mapping]]:
    """Returns the annotations or results of each image by its id."""
    images = {}
    for row in rows:
        images.setdefault(row["image_id"], []).append(row)
    return images


def _count_image(
    matrix: np.ndarray,
    truth: list[Mapping],
    found: list[Mapping],
    classes: Mapping[int, int],
    iou_threshold: float,
) -> None:
    """Adds the objects and results of one image to the matrix."""
    nothing = len(classes)
    objects = [row for row in truth if not row.get("iscrowd")]
    crowds = [row for row in truth if row.get("iscrowd")]
    taken = _pairs(overlaps(found, objects), iou_threshold)
    in_crowd = np.any(overlaps(found, crowds) >= iou_threshold, axis=1)
    for number, result in enumerate(found):
        column = classes[result["category_id"]]
        if number in taken:
            row = classes[objects[taken[number]]["category_id"]]
            matrix[row, column] += 1
        elif not in_crowd[number]:
            matrix[nothing, column] += 1
    for number in set(range(len(objects))) - set(taken.values()):
        matrix[classes[objects[number]["category_id"]], nothing] += 1


def _pairs(overlaps: np.ndarray, threshold: float) -> dict[int, int]:
    """Row -> column of the pairs taken by falling overlap; ties by row, then column."""
    rows, columns = np.nonzero(overlaps >= threshold)
    taken: dict[int, int] = {}
    for pair in np.argsort(-overlaps[rows, columns], kind="stable"):
        row, column = int(rows[pair]), int(columns[pair])
        if row not in taken and column not in taken.values():
            taken[row] = column
    return taken


def overlaps(found: list[Mapping], regions: list[Mapping]) -> np.ndarray:
    """Returns the IoU of the boxes of results and objects, [n, m].

    With a crowd region it is the share of the result that lies inside.
    """
    from faster_coco_eval import mask

    if not found or not regions:
        return np.zeros((len(found), len(regions)))
    boxes, others = (
        np.array([row["bbox"] for row in rows], float) for rows in (found, regions)
    )
    crowd = [row.get("iscrowd", 0) for row in regions]
    return np.asarray(mask.iou(boxes, others, crowd))
