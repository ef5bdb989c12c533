"""COCO's average precision and recall: of proposals, boxes, masks and keypoints.

Ground truth and results are the plain structures of `records.py`. Sizes are COCO's, by
annotated area: small < 32**2 <= medium < 96**2 <= large.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

_THRESHOLDS = {"": slice(None), "50": slice(0, 1), "75": slice(5, 6)}  # of 0.50 … 0.95
# COCO tells sizes apart in the recall of 20 (keypoints) or 100 results, not of 1 or 10.
_FEWEST_BY_SIZE = 20

# How far a person's annotated keypoints scatter, by COCO's keypoint evaluation.
_COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),  # nose, eyes, ears
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),  # shoulders, elbows, wrists
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),  # hips, knees, ankles
)


@dataclass(frozen=True)
class Measure:
    """The part of results that is compared, and how many of an image's best count."""

    prefix: str  # of the metric names
    overlap: Literal["bbox", "segm", "keypoints"]  # what is compared, for the engine
    limits: tuple[int, ...]
    precision_limit: int = 100  # of the limits, the one that AP is defined by
    sizes: tuple[str, ...] = ("", "s", "m", "l")
    recall_thresholds: tuple[str, ...] = ("",)
    by_class: bool = True

    @property
    def overall(self) -> tuple[str, ...]:
        """Names of its metrics over all sizes and classes."""
        recall = (f"AR@{limit}" for limit in self.limits)
        precision = (f"AP{name}" for name in _THRESHOLDS)
        return tuple(self.prefix + name for name in (*recall, *precision))

    def counting(self, limit: int) -> "Measure":
        """Returns the measure that counts `limit` results of an image and class.

        COCO counts a hundred, for which some images have too many objects.
        """
        lower = (each for each in self.limits if each < limit)
        return replace(self, limits=(*lower, limit), precision_limit=limit)


PROPOSALS = Measure(  # FPN, Table 1; at one threshold: found at all, and well placed
    "",
    "bbox",
    limits=(100, 1000),
    recall_thresholds=("", "50", "75"),
    by_class=False,
)
BOXES = Measure("", "bbox", (1, 10, 100))
MASKS = Measure("mask/", "segm", (1, 10, 100))
KEYPOINTS = Measure(
    "keypoint/",
    "keypoints",
    limits=(20,),
    precision_limit=20,
    sizes=("", "m", "l"),  # small persons have no keypoints in COCO
    recall_thresholds=("", "50", "75"),
)


@dataclass(frozen=True)
class Accumulated:
    """Matches added up over all images; -1 where no object has the class and size.

    K is the number of classes, 1 where they are not told apart.
    """

    measure: Measure
    names: tuple[str, ...]  # K, of the classes by category id
    precision: np.ndarray  # [10 thresholds, 101 recalls, K, sizes]
    recall: np.ndarray  # [10 thresholds, K, sizes, limits]


def evaluate_results(
    ground_truth: Mapping, results: Sequence[Mapping], measure: Measure
) -> dict[str, float]:
    """Average recall and precision of the results by one measure.

    AR@100 is the recall of the 100 best results of each image and class, averaged over
    thresholds 0.50 … 0.95 and classes; AP, AP50, AP75 are 101-point interpolated
    precision. ARs@100 and APs are of small objects, with m of medium, with l of large
    ones. AP/NAME is of one class, if there are objects of it. Boxes and masks get
    COCO's 12 figures, keypoints its 10, proposals AR@100 and AR@1000, both also at one
    threshold (AR50@100), and AP. Names begin with mask/ and keypoint/ for masks and
    keypoints.

    Values are 0 … 1; NaN where the ground truth has no object of that size (COCO's own
    tool says -1, which would spoil a mean silently). Without any result they are 0.
    """
    return summarize(accumulate(ground_truth, results, measure))


def accumulate(
    ground_truth: Mapping, results: Sequence[Mapping], measure: Measure
) -> Accumulated:
    """Precision and recall of the results at every threshold, size and limit.

    Crowd regions absorb results and are not objects. Of equal scores the earlier result
    comes first. Results of a category that the ground truth does not list are left out,
    but proposals are compared whatever their categories.
    """
    _check(ground_truth, results)
    from faster_coco_eval import COCO, COCOeval_faster

    categories = _categories(ground_truth, measure)
    numbers = _Numbers(
        images=_in_order(image["id"] for image in ground_truth["images"]),
        categories=_in_order(category["id"] for category in categories),
    )
    truth, found = (
        COCO(
            {
                "images": _with_numbers(ground_truth["images"], numbers.images),
                "categories": _with_numbers(categories, numbers.categories),
                "annotations": _numbered(annotations, numbers, measure),
            }
        )
        for annotations in (
            ground_truth["annotations"],
            (_with_area(result, measure) for result in results),
        )
    )
    engine = COCOeval_faster(
        truth, found, measure.overlap, kpt_oks_sigmas=_sigmas(ground_truth, measure)
    )
    engine.params.catIds = list(numbers.categories.values())  # all of them
    engine.params.maxDets = list(measure.limits)
    engine.evaluate()
    engine.accumulate()
    limit = measure.limits.index(measure.precision_limit)
    return Accumulated(
        measure=measure,
        names=_unique_names(categories),
        precision=np.array(engine.eval["precision"])[..., limit],
        recall=np.array(engine.eval["recall"]),
    )


def summarize(accumulated: Accumulated) -> dict[str, float]:
    """The means that `evaluate_results` names."""
    measure, metrics = accumulated.measure, {}
    for m, limit in enumerate(measure.limits):
        recall = accumulated.recall[..., m]
        for name in measure.recall_thresholds:
            metrics[f"AR{name}@{limit}"] = _mean(recall[_THRESHOLDS[name], :, 0])
        for s, size in enumerate(measure.sizes):
            if limit >= _FEWEST_BY_SIZE:
                metrics[f"AR{size}@{limit}"] = _mean(recall[..., s])
    precision = accumulated.precision[..., 0]
    for name, thresholds in _THRESHOLDS.items():
        metrics[f"AP{name}"] = _mean(precision[thresholds])
    for s, size in enumerate(measure.sizes):
        metrics[f"AP{size}"] = _mean(accumulated.precision[..., s])
    if measure.by_class:
        for k, name in enumerate(accumulated.names):
            if (precision[..., k] > -1).any():
                metrics[f"AP/{name}"] = _mean(precision[..., k])
    return {measure.prefix + name: value for name, value in metrics.items()}


def _categories(ground_truth: Mapping, measure: Measure) -> list[dict]:
    if not measure.by_class:
        return [{"id": 1, "name": "object"}]
    categories = (dict(category) for category in ground_truth["categories"])
    return sorted(categories, key=lambda category: category["id"])


class _Numbers(NamedTuple):
    """Numbers from 1 in the place of ids.

    The engine holds ids as floats of 64 bits, in which large ones become equal.
    """

    images: dict[int, int]
    categories: dict[int, int]


def _in_order(ids: Iterable[int]) -> dict[int, int]:
    return {own: number for number, own in enumerate(sorted(ids), start=1)}


def _with_numbers(rows: Iterable[Mapping], numbers: Mapping[int, int]) -> list[dict]:
    return [{**row, "id": numbers[row["id"]]} for row in rows]


def _numbered(
    annotations: Iterable[Mapping], numbers: _Numbers, measure: Measure
) -> list[dict]:
    """Copies of the annotations of known images and categories, with numbers as ids.

    Their own ids count from 1: the engine takes 0 for "unmatched".
    """
    rows = []
    for row in annotations:
        image = numbers.images.get(row["image_id"])
        category = numbers.categories.get(row["category_id"]) if measure.by_class else 1
        if image is not None and category is not None:
            own = {"id": len(rows) + 1, "image_id": image, "category_id": category}
            rows.append({**row, **own})
    return rows


def _with_area(result: Mapping, measure: Measure) -> dict:
    """A copy of the result with the area by which COCO tells its size.

    The area of the mask or of the box; for keypoints, of their bounding box.
    """
    from faster_coco_eval import mask

    if measure.overlap == "segm":
        area = float(mask.area(result["segmentation"]))
    elif measure.overlap == "keypoints":
        points = np.reshape(result["keypoints"], (-1, 3))[:, :2]
        area = float(np.prod(np.ptp(points, axis=0)))
    else:
        area = result["bbox"][2] * result["bbox"][3]
    return {**result, "area": area, "iscrowd": 0}


def _sigmas(ground_truth: Mapping, measure: Measure) -> list[float] | None:
    """The scatter of each keypoint, in units of the square root of an object's area.

    That of the ground truth's categories, or COCO's for 17 keypoints; otherwise the
    mean of COCO's for every keypoint.
    """
    if measure.overlap != "keypoints":
        return None
    for category in ground_truth["categories"]:
        if "sigmas" in category:
            return list(category["sigmas"])
    numbers = {len(row["keypoints"]) // 3 for row in ground_truth["annotations"]}
    if numbers == {len(_COCO_SIGMAS)}:
        return list(_COCO_SIGMAS)
    return [float(np.mean(_COCO_SIGMAS))] * max(numbers, default=0)


def _unique_names(categories: Sequence[Mapping]) -> tuple[str, ...]:
    """The names; with the id behind one that is another category's too."""
    uses = Counter(category["name"] for category in categories)
    return tuple(
        name if uses[name := category["name"]] == 1 else f"{name} {category['id']}"
        for category in categories
    )


def _mean(values: np.ndarray) -> float:
    """Mean of what exists; the engine marks what does not with -1."""
    values = values[values > -1]
    return float(values.mean()) if values.size else float("nan")


def _check(ground_truth: Mapping, results: Sequence[Mapping]) -> None:
    known = {image["id"] for image in ground_truth["images"]}
    if not known:
        raise ValueError("ground_truth: has no images, expected at least one")
    if strange := {result["image_id"] for result in results} - known:
        raise ValueError(
            f"results: {len(strange)} image ids are not in ground_truth, "
            f"such as {min(strange)!r}; it has {len(known)}, such as {min(known)!r}"
        )
