"""Average recall and precision: by hand, and equal to pycocotools."""

import contextlib
import copy
import dataclasses
import io
import json
import math

import numpy as np
import pytest

from fpn_jax.data.example import Category, Example
from fpn_jax.evaluation.coco import (
    accumulate,
    coco_ground_truth,
    coco_results,
    evaluate_proposals,
    summarise,
)

SIZES = {"": 0, "s": 1, "m": 2, "l": 3}


def truth(*annotations: tuple[int, list[float]], images: int = 2) -> dict:
    """A COCO dictionary of (image id, xywh) objects; image ids count from 1."""
    return {
        "images": [
            {"id": number, "height": 400, "width": 400}
            for number in range(1, images + 1)
        ],
        "categories": [{"id": 3, "name": "thing"}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 3,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, (image, box) in enumerate(annotations, start=1)
        ],
    }


def result(image: int, box: list[float], score: float, category: int = 3) -> dict:
    return {
        "image_id": image,
        "bbox": box,
        "score": score,
        "category_id": category,
    }


SMALL, MEDIUM, LARGE = [0, 0, 20, 20], [50, 50, 60, 60], [100, 100, 200, 200]


def test_exact_boxes_score_one_everywhere():
    ground_truth = truth((1, SMALL), (1, MEDIUM), (2, LARGE))
    results = [result(1, SMALL, 0.9), result(1, MEDIUM, 0.8), result(2, LARGE, 0.7)]

    metrics = evaluate_proposals(ground_truth, results)

    assert (
        list(metrics)
        == (
            "AR@100 ARs@100 ARm@100 ARl@100 AR@1000 ARs@1000 ARm@1000 ARl@1000 "
            "AP AP50 AP75 APs APm APl"
        ).split()
    )
    assert set(metrics.values()) == {1.0}


def test_recall_counts_the_thresholds_an_overlap_reaches():
    """A 20x20 object and a 20x13 box inside it: IoU 0.65, that is 4 of 10 thresholds.

    IoU 0.65 reaches 0.50, 0.55, 0.60 and, being equal, 0.65.
    """
    metrics = evaluate_proposals(truth((1, SMALL)), [result(1, [0, 0, 20, 13], 0.5)])

    assert metrics["AR@100"] == metrics["ARs@1000"] == pytest.approx(0.4)
    assert metrics["AP"] == pytest.approx(0.4)
    assert (metrics["AP50"], metrics["AP75"]) == (1, 0)


def test_only_the_best_boxes_of_an_image_count():
    """The one good box is the 101st by score: out of 100, within 1000."""
    misses = [result(1, [300, 300, 9, 9], 0.9 - n / 1000) for n in range(100)]

    metrics = evaluate_proposals(truth((1, SMALL)), [*misses, result(1, SMALL, 0.1)])

    assert (metrics["AR@100"], metrics["AR@1000"], metrics["AP"]) == (0, 1, 0)


def test_precision_is_halved_by_a_better_scored_miss():
    results = [result(1, [300, 300, 9, 9], 0.9), result(1, SMALL, 0.8)]

    metrics = evaluate_proposals(truth((1, SMALL)), results)

    assert metrics["AR@100"] == 1
    assert metrics["AP"] == pytest.approx(0.5)


def test_categories_are_ignored():
    ground_truth = truth((1, SMALL))

    assert evaluate_proposals(ground_truth, [result(1, SMALL, 0.5, 77)])["AR@100"] == 1


def test_a_size_without_objects_is_nan():
    metrics = evaluate_proposals(truth((1, SMALL)), [result(1, SMALL, 0.5)])

    missing = {name for name, value in metrics.items() if math.isnan(value)}
    assert missing == {"ARm@100", "ARl@100", "ARm@1000", "ARl@1000", "APm", "APl"}


def test_no_result_at_all_is_zero():
    metrics = evaluate_proposals(truth((1, SMALL), (1, MEDIUM), (2, LARGE)), [])

    assert set(metrics.values()) == {0.0}


def test_ground_truth_without_any_object_is_nan():
    metrics = evaluate_proposals(truth(), [result(1, SMALL, 0.5)])

    assert all(math.isnan(value) for value in metrics.values())


def test_a_box_inside_a_crowd_is_no_mistake():
    ground_truth = truth((1, SMALL), (1, LARGE))
    ground_truth["annotations"][1]["iscrowd"] = 1
    inside = result(1, [150, 150, 20, 20], 0.9)

    metrics = evaluate_proposals(ground_truth, [inside, result(1, SMALL, 0.8)])

    assert metrics["AP"] == 1
    assert math.isnan(metrics["ARl@100"])


def test_nothing_is_printed_or_changed(capfd):
    ground_truth, results = truth((1, SMALL)), [result(1, SMALL, 0.5)]
    before = copy.deepcopy((ground_truth, results))

    evaluate_proposals(ground_truth, results)

    assert (ground_truth, results) == before
    assert capfd.readouterr() == ("", "")


def test_an_unknown_image_is_one_clear_line():
    with pytest.raises(ValueError, match=r"^results: 1 image ids .* such as 9; it has"):
        evaluate_proposals(truth((1, SMALL)), [result(9, SMALL, 0.5)])


def test_ground_truth_without_images_is_one_clear_line():
    with pytest.raises(ValueError, match="^ground_truth: has no images"):
        evaluate_proposals({"images": [], "annotations": []}, [])


def test_results_are_xywh_without_padding():
    boxes = np.array([[[1, 2, 4, 8], [0, 0, 0, 0]], [[0, 0, 5, 5], [9, 9, 9, 9]]])
    valid = np.array([[True, False], [True, False]])

    first, second = coco_results([7, 8], boxes, np.full((2, 2), 0.25), valid)

    assert first == {
        "image_id": 7,
        "category_id": 1,
        "bbox": [1, 2, 3, 6],
        "score": 0.25,
    }
    assert second["image_id"] == 8


def test_examples_become_an_annotation_file():
    example = Example(
        image_id=7,
        name="seven.png",
        image=np.zeros((40, 60, 3), np.uint8),
        boxes=np.float32([[1, 2, 4, 8], [0, 0, 9, 9]]),
        labels=np.int32([1, 0]),
        crowd=np.array([False, True]),
        areas=np.float32([18, 50]),
    )
    empty = dataclasses.replace(example.select([]), image_id=8)
    categories = (Category(3, "three"), Category(5, "five"))

    ground_truth = coco_ground_truth([example, empty], categories)

    size = {"height": 40, "width": 60, "file_name": "seven.png"}
    assert ground_truth == {
        "images": [{"id": 7, **size}, {"id": 8, **size}],
        "categories": [{"id": 3, "name": "three"}, {"id": 5, "name": "five"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 5,
                "bbox": [1, 2, 3, 6],
                "area": 18,
                "iscrowd": 0,
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 3,
                "bbox": [0, 0, 9, 9],
                "area": 50,
                "iscrowd": 1,
            },
        ],
    }
    json.dumps(ground_truth)  # plain Python numbers


def random_case(seed: int) -> tuple[dict, list[dict]]:
    """30 images: none to 8 objects of all sizes, crowds, good and bad boxes."""
    rng = np.random.default_rng(seed)
    objects = [
        (image, [*rng.uniform(0, 200, 2), *(2 ** rng.uniform(3, 7.5, 2))])
        for image in range(1, 31)
        for _ in range(rng.integers(0, 9))
    ]
    ground_truth = truth(*objects, images=30)
    ground_truth["categories"] = [{"id": n, "name": f"c{n}"} for n in (3, 5)]
    for annotation in ground_truth["annotations"]:
        annotation["iscrowd"] = int(rng.random() < 0.1)
        annotation["area"] *= rng.uniform(0.5, 1)  # as a segmentation's is
        annotation["category_id"] = int(rng.choice([3, 5]))
    near = [
        (image, [float(abs(side + rng.normal(0, 4))) for side in box])
        for image, box in objects
        for _ in range(3)
    ]
    far = [
        (int(rng.integers(1, 31)), [*rng.uniform(0, 200, 2), *rng.uniform(8, 90, 2)])
        for _ in range(4000)
    ]
    scores = rng.permutation(len(near) + len(far)) / 1e4  # no ties
    return ground_truth, [
        result(image, box, float(score), int(rng.choice([3, 5])))
        for (image, box), score in zip(near + far, scores, strict=True)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_equals_pycocotools(seed):
    """1e-9: the same arithmetic in float64, in another order of summation."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ground_truth, results = random_case(seed)
    metrics = evaluate_proposals(ground_truth, results)

    with contextlib.redirect_stdout(io.StringIO()):
        oracle_truth = COCO()
        oracle_truth.dataset = copy.deepcopy(ground_truth)
        oracle_truth.createIndex()
        oracle = COCOeval(oracle_truth, oracle_truth.loadRes(results), "bbox")
        oracle.params.useCats = 0
        oracle.params.maxDets = [100, 1000]
        oracle.evaluate()
        oracle.accumulate()

    recall, precision = oracle.eval["recall"][:, 0], oracle.eval["precision"][:, :, 0]
    expected = {
        f"AR{name}@{limit}": recall[:, size, column].mean()
        for column, limit in enumerate((100, 1000))
        for name, size in SIZES.items()
    }
    expected |= {f"AP{name}": precision[..., s, 0].mean() for name, s in SIZES.items()}
    expected["AP50"] = precision[0, :, 0, 0].mean()
    expected["AP75"] = precision[5, :, 0, 0].mean()
    assert min(expected.values()) > 0  # none is the "no objects" value
    assert metrics == pytest.approx(expected, abs=1e-9)


def test_summary_of_accumulated_is_the_evaluation():
    ground_truth, results = random_case(2)

    accumulated = accumulate(ground_truth, results)

    assert accumulated.precision.shape == (10, 101, 4, 2)
    assert summarise(accumulated) == evaluate_proposals(ground_truth, results)
