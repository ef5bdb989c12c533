"""COCO average recall and precision of class-agnostic boxes.

Ground truth and results are the plain structures of the COCO files: the dictionary of
an annotation file, and a list of `{"image_id", "category_id", "bbox", "score"}`. Every
box here is `[x, y, width, height]` in pixels of the original image. Sizes are COCO's,
by annotated area: small < 32**2 <= medium < 96**2 <= large.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from fpn_jax.data.example import Category, Example

MAX_BOXES = (100, 1000)  # per image; the two columns of FPN, Table 1
_SIZES = ("", "s", "m", "l")  # of the metric names; "" is every size
_THRESHOLDS = {"": slice(None), "50": 0, "75": 5}  # among IoU 0.50, 0.55 … 0.95


@dataclass(frozen=True)
class Accumulated:
    """Matches added up over all images; -1 where no object has the size."""

    precision: np.ndarray  # [10 IoU, 101 recalls, 4 sizes, 2 box counts]
    recall: np.ndarray  # [10 IoU, 4 sizes, 2 box counts]


def coco_ground_truth(
    examples: Iterable[Example], categories: Sequence[Category]
) -> dict:
    """The COCO annotation dictionary of the examples; annotation ids count from 1."""
    images, annotations = [], []
    numbers = count(1)
    for example in examples:
        height, width = example.image.shape[:2]
        images.append(
            {
                "id": example.image_id,
                "file_name": example.name,
                "height": height,
                "width": width,
            }
        )
        annotations += [
            {
                "id": next(numbers),
                "image_id": example.image_id,
                "category_id": categories[label].id,
                "bbox": box.tolist(),
                "area": float(area),
                "iscrowd": int(crowd),
            }
            for box, label, area, crowd in zip(
                _xywh(example.boxes),
                example.labels,
                example.areas,
                example.crowd,
                strict=True,
            )
        ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [category._asdict() for category in categories],
    }


def coco_results(
    image_ids: Sequence[int], boxes: np.ndarray, scores: np.ndarray, valid: np.ndarray
) -> list[dict]:
    """COCO results of a batch of proposals, all of category 1.

    Args:
        image_ids: B ids.
        boxes: [B, N, 4] xyxy, in pixels of the original images.
        scores: [B, N].
        valid: [B, N]; padding is left out.
    """
    xywh = _xywh(boxes)
    return [
        {
            "image_id": int(image_ids[image]),
            "category_id": 1,
            "bbox": xywh[image, row].tolist(),
            "score": float(scores[image, row]),
        }
        for image, row in np.argwhere(valid)
    ]


def evaluate_proposals(
    ground_truth: Mapping, results: Sequence[Mapping]
) -> dict[str, float]:
    """Average recall and precision of the results, whatever their categories.

    Keys are AR@100 and AR@1000 (recall of the 100 or 1000 best boxes of each image,
    averaged over IoU 0.50 … 0.95), AP, AP50, AP75 (101-point interpolated precision of
    the 100 best), and each of AR@100, AR@1000, AP with s, m, l before the box count.
    Values are 0 … 1; NaN where the ground truth has no object of that size (COCO's own
    tool says -1, which would spoil a mean silently). Without any result they are 0.
    """
    return summarise(accumulate(ground_truth, results))


def accumulate(ground_truth: Mapping, results: Sequence[Mapping]) -> Accumulated:
    """Precision and recall of the results at every threshold, size and box count.

    Category ids are ignored on both sides. Crowd regions absorb boxes and are not
    objects. Of equal scores the earlier result comes first.
    """
    _check(ground_truth, results)
    from faster_coco_eval import COCO, COCOeval_faster

    images = [dict(image) for image in ground_truth["images"]]
    truth = COCO(_of_one_category(images, ground_truth["annotations"]))
    boxes = [
        {**result, "area": result["bbox"][2] * result["bbox"][3], "iscrowd": 0}
        for result in results
    ]
    engine = COCOeval_faster(truth, COCO(_of_one_category(images, boxes)), "bbox")
    engine.params.maxDets = list(MAX_BOXES)
    engine.evaluate()
    engine.accumulate()
    only = 0  # category
    return Accumulated(
        precision=np.array(engine.eval["precision"][:, :, only]),
        recall=np.array(engine.eval["recall"][:, only]),
    )


def summarise(accumulated: Accumulated) -> dict[str, float]:
    """The means that `evaluate_proposals` names."""
    metrics = {
        f"AR{size}@{limit}": _mean(accumulated.recall[:, s, m])
        for m, limit in enumerate(MAX_BOXES)
        for s, size in enumerate(_SIZES)
    }
    precision = accumulated.precision[..., 0]  # 100 boxes, as COCO defines AP
    for name, threshold in _THRESHOLDS.items():
        metrics[f"AP{name}"] = _mean(precision[threshold, :, 0])
    for s, size in enumerate(_SIZES[1:], start=1):
        metrics[f"AP{size}"] = _mean(precision[:, :, s])
    return metrics


def _xywh(boxes: np.ndarray) -> np.ndarray:
    low, high = np.split(np.asarray(boxes, np.float64), 2, axis=-1)
    return np.concatenate([low, high - low], axis=-1)


def _of_one_category(images: list[dict], annotations: Iterable[Mapping]) -> dict:
    """A COCO dictionary whose copies of the annotations share one category.

    Ids count from 1: the engine takes an id of 0 for "not matched".
    """
    numbers = count(1)
    return {
        "images": images,
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {**annotation, "id": next(numbers), "category_id": 1}
            for annotation in annotations
        ],
    }


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
