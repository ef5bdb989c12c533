"""Average recall and precision: by hand, and every figure equal to pycocotools."""

import contextlib
import copy
import io
import math

import numpy as np
import pytest

from fpn_jax.data.bitmaps import encode_rle
from fpn_jax.evaluation.coco import (
    BOXES,
    KEYPOINTS,
    MASKS,
    PROPOSALS,
    Measure,
    accumulate,
    evaluate_results,
    summarize,
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


def of_proposals(ground_truth: dict, results: list[dict]) -> dict[str, float]:
    return evaluate_results(ground_truth, results, PROPOSALS)


def test_exact_boxes_score_one_everywhere():
    ground_truth = truth((1, SMALL), (1, MEDIUM), (2, LARGE))
    results = [result(1, SMALL, 0.9), result(1, MEDIUM, 0.8), result(2, LARGE, 0.7)]

    metrics = of_proposals(ground_truth, results)

    assert (
        list(metrics)
        == (
            "AR@100 AR50@100 AR75@100 ARs@100 ARm@100 ARl@100 "
            "AR@1000 AR50@1000 AR75@1000 ARs@1000 ARm@1000 ARl@1000 "
            "AP AP50 AP75 APs APm APl"
        ).split()
    )
    assert set(metrics.values()) == {1.0}


def test_recall_counts_the_thresholds_an_overlap_reaches():
    """A 20x20 object and a 20x13 box inside it: IoU 0.65, that is 4 of 10 thresholds.

    IoU 0.65 reaches 0.50, 0.55, 0.60 and, being equal, 0.65.
    """
    metrics = of_proposals(truth((1, SMALL)), [result(1, [0, 0, 20, 13], 0.5)])

    assert metrics["AR@100"] == metrics["ARs@1000"] == pytest.approx(0.4)
    assert metrics["AP"] == pytest.approx(0.4)
    assert (metrics["AP50"], metrics["AP75"]) == (1, 0)
    assert (metrics["AR50@100"], metrics["AR75@1000"]) == (1, 0)


def test_only_the_best_boxes_of_an_image_count():
    """The one good box is the 101st by score: out of 100, within 1000."""
    misses = [result(1, [300, 300, 9, 9], 0.9 - n / 1000) for n in range(100)]

    metrics = of_proposals(truth((1, SMALL)), [*misses, result(1, SMALL, 0.1)])

    assert (metrics["AR@100"], metrics["AR@1000"], metrics["AP"]) == (0, 1, 0)


def test_more_objects_than_coco_counts_can_be_counted():
    objects = [(1, [9 * n, 0, 8, 8]) for n in range(150)]
    ground_truth = truth(*objects)
    results = [result(image, box, 0.5) for image, box in objects]

    usual = evaluate_results(ground_truth, results, BOXES)
    metrics = evaluate_results(ground_truth, results, BOXES.counting(150))

    assert usual["AR@100"] == pytest.approx(100 / 150)
    assert usual["AP"] == pytest.approx(67 / 101)
    assert metrics["AR@150"] == metrics["ARs@150"] == metrics["AP"] == 1
    assert metrics["AR@100"] == usual["AR@100"]
    assert BOXES.counting(5).limits == (1, 5)


def test_precision_is_halved_by_a_better_scored_miss():
    results = [result(1, [300, 300, 9, 9], 0.9), result(1, SMALL, 0.8)]

    metrics = of_proposals(truth((1, SMALL)), results)

    assert metrics["AR@100"] == 1
    assert metrics["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize("measure", [BOXES, PROPOSALS])
@pytest.mark.parametrize("first", [-(2**63), -1, 0, 2**53, 2**63 - 2])
def test_neighboring_ids_of_64_bits_are_told_apart(first, measure):
    # The engine's floats of 64 bits end to do so at 2**53.
    ids = (first, first + 1)
    truth = {
        "images": [{"id": own, "height": 40, "width": 40} for own in ids],
        "categories": [{"id": own, "name": str(own)} for own in ids],
        "annotations": [
            {
                **{"id": 7, "image_id": own, "category_id": own, "iscrowd": 0},
                **{"bbox": [4, 4, 20, 20], "area": 400},
            }
            for own in ids
        ],
    }
    results = [
        {"image_id": own, "category_id": own, "bbox": [4, 4, 20, 20], "score": 0.5}
        for own in ids
    ]
    assert evaluate_results(truth, results, measure)["AP"] == 1
    assert evaluate_results(truth, results[1:], measure)["AR@100"] == 0.5


def test_categories_are_ignored():
    ground_truth = truth((1, SMALL))

    assert of_proposals(ground_truth, [result(1, SMALL, 0.5, 77)])["AR@100"] == 1


def test_a_size_without_objects_is_nan():
    metrics = of_proposals(truth((1, SMALL)), [result(1, SMALL, 0.5)])

    missing = {name for name, value in metrics.items() if math.isnan(value)}
    assert missing == {"ARm@100", "ARl@100", "ARm@1000", "ARl@1000", "APm", "APl"}


def test_no_result_at_all_is_zero():
    metrics = of_proposals(truth((1, SMALL), (1, MEDIUM), (2, LARGE)), [])

    assert set(metrics.values()) == {0.0}


def test_ground_truth_without_any_object_is_nan():
    metrics = of_proposals(truth(), [result(1, SMALL, 0.5)])

    assert all(math.isnan(value) for value in metrics.values())


def test_a_box_inside_a_crowd_is_no_mistake():
    ground_truth = truth((1, SMALL), (1, LARGE))
    ground_truth["annotations"][1]["iscrowd"] = 1
    inside = result(1, [150, 150, 20, 20], 0.9)

    metrics = of_proposals(ground_truth, [inside, result(1, SMALL, 0.8)])

    assert metrics["AP"] == 1
    assert math.isnan(metrics["ARl@100"])


def test_nothing_is_printed_or_changed(capfd):
    ground_truth, results = truth((1, SMALL)), [result(1, SMALL, 0.5)]
    before = copy.deepcopy((ground_truth, results))

    of_proposals(ground_truth, results)

    assert (ground_truth, results) == before
    assert capfd.readouterr() == ("", "")


def test_an_unknown_image_is_one_clear_line():
    with pytest.raises(ValueError, match=r"^results: 1 image ids .* such as 9; it has"):
        of_proposals(truth((1, SMALL)), [result(9, SMALL, 0.5)])


def test_ground_truth_without_images_is_one_clear_line():
    with pytest.raises(ValueError, match="^ground_truth: has no images"):
        of_proposals({"images": [], "annotations": []}, [])


def test_classes_are_told_apart_and_averaged():
    """Class 3 is found, of class 5 one of two objects, class 7 has no objects."""
    ground_truth = truth((1, SMALL), (1, MEDIUM), (2, LARGE))
    ground_truth["categories"] = [{"id": n, "name": f"c{n}"} for n in (7, 3, 5)]
    for annotation in ground_truth["annotations"][1:]:
        annotation["category_id"] = 5
    results = [
        result(1, SMALL, 0.9),
        result(2, LARGE, 0.8, 5),
        result(1, MEDIUM, 0.7, 3),  # behind the object of its class: harms nothing
        result(1, MEDIUM, 0.9, 7),
        result(1, MEDIUM, 0.9, 99),  # of no class of the ground truth
    ]

    metrics = evaluate_results(ground_truth, results, BOXES)

    # 51 of 101 recalls are reached with one of two objects.
    assert metrics["AP/c3"] == 1
    assert metrics["AP/c5"] == pytest.approx(51 / 101)
    assert "AP/c7" not in metrics
    assert metrics["AP"] == metrics["AP50"] == pytest.approx((1 + 51 / 101) / 2)
    assert metrics["AR@1"] == metrics["AR@100"] == pytest.approx(0.75)
    assert (metrics["APs"], metrics["APm"], metrics["APl"]) == (1, 0, 1)


def test_two_classes_of_one_name_keep_their_figures_apart():
    ground_truth = truth((1, SMALL), (1, MEDIUM))
    ground_truth["categories"] = [{"id": n, "name": "thing"} for n in (3, 5)]
    ground_truth["annotations"][1]["category_id"] = 5

    metrics = evaluate_results(ground_truth, [result(1, SMALL, 0.9)], BOXES)

    assert (metrics["AP/thing 3"], metrics["AP/thing 5"]) == (1, 0)


def bar(height: int, width: int) -> dict:
    """The upper left corner of a 40 x 40 image as a segmentation."""
    bitmap = np.zeros((40, 40), bool)
    bitmap[:height, :width] = True
    return encode_rle(bitmap)


def test_masks_are_compared_by_their_pixels_not_their_boxes():
    """Both boxes are 20 x 20; the found mask is its left half, 0.5 of the object."""
    ground_truth = truth((1, SMALL))
    ground_truth["images"][0] |= {"height": 40, "width": 40}
    ground_truth["annotations"][0]["segmentation"] = bar(20, 20)
    found = result(1, SMALL, 0.9) | {"segmentation": bar(20, 10)}

    metrics = evaluate_results(ground_truth, [found], MASKS)

    assert (metrics["mask/AP50"], metrics["mask/AP75"]) == (1, 0)
    assert metrics["mask/AP"] == pytest.approx(0.1)  # 1 threshold of 10


def keypoint_truth(sigmas: list[float] | None) -> dict:
    """One object of area 100 with two keypoints, at (10, 10) and (20, 10)."""
    ground_truth = truth((1, [10, 5, 10, 10]))
    ground_truth["annotations"][0]["area"] = 50**2  # COCO has no small ones
    ground_truth["annotations"][0] |= {
        "keypoints": [10, 10, 2, 20, 10, 1],
        "num_keypoints": 2,
    }
    if sigmas:
        ground_truth["categories"][0]["sigmas"] = sigmas
    return ground_truth


def test_keypoints_are_as_alike_as_their_scatter_allows():
    """One point is exact; the other is d off, and alike by exp(-d^2 / (8 s^2 area)).

    With a scatter s of 0.1 and d = 10: exp(-100 / 200) = 0.607, in the mean 0.803,
    which passes 0.50 … 0.80: 7 of 10 thresholds.
    """
    found = result(1, SMALL, 0.9) | {"keypoints": [10, 10, 1, 20, 20, 1]}

    metrics = evaluate_results(keypoint_truth([0.1, 0.1]), [found], KEYPOINTS)

    assert metrics["keypoint/AP"] == metrics["keypoint/AR@20"] == pytest.approx(0.7)
    assert metrics["keypoint/AR75@20"] == 1
    assert "keypoint/APs" not in metrics


def test_keypoints_without_a_known_scatter_share_one():
    found = result(1, SMALL, 0.9) | {"keypoints": [10, 10, 1, 20, 20, 1]}

    metrics = evaluate_results(keypoint_truth(None), [found], KEYPOINTS)

    # The mean of COCO's is 0.0669: exp(-100 / (8 * 0.0669^2 * 2500)) = 0.328, in the
    # mean of both points 0.664, which passes 4 of 10 thresholds.
    assert metrics["keypoint/AP"] == pytest.approx(0.4)


def random_case(seed: int) -> tuple[dict, list[dict]]:
    """30 images: none to 8 objects of all sizes, crowds, good and bad results, ties.

    All of it has boxes, masks and 17 keypoints; some objects have no keypoint.
    """
    rng = np.random.default_rng(seed)
    objects = [
        (image, [*rng.uniform(0, 200, 2), *(2 ** rng.uniform(3, 7.5, 2))])
        for image in range(1, 31)
        for _ in range(rng.integers(0, 9))
    ]
    ground_truth = truth(*objects, images=30)
    ground_truth["categories"] = [{"id": n, "name": f"c{n}"} for n in (3, 5, 9)]
    for annotation in ground_truth["annotations"]:
        visible = rng.integers(0, 3, 17) * (rng.random() < 0.8)
        annotation |= {
            "iscrowd": int(rng.random() < 0.1),
            "category_id": int(rng.choice([3, 5])),
            "segmentation": ellipse(annotation["bbox"]),
            "keypoints": keypoints(annotation["bbox"], visible, rng),
            "num_keypoints": int((visible > 0).sum()),
        }
        annotation["area"] *= rng.uniform(0.5, 1)  # as a segmentation's is
    near = [
        (image, [float(abs(side + rng.normal(0, 4))) for side in box])
        for image, box in objects
        for _ in range(3)
    ]
    far = [
        (int(rng.integers(1, 31)), [*rng.uniform(0, 200, 2), *rng.uniform(8, 90, 2)])
        for _ in range(4000)
    ]
    # Rounded, so that many scores are equal.
    scores = rng.uniform(0, 1, len(near) + len(far)).round(2)
    return ground_truth, [
        result(image, box, float(score), int(rng.choice([3, 5, 9])))
        for (image, box), score in zip(near + far, scores, strict=True)
    ]


def ellipse(box: list[float]) -> dict:
    """The segmentation of an ellipse in a box of a 400 x 400 image."""
    x, y, width, height = box
    rows, columns = np.ogrid[:400, :400]
    across = (columns + 0.5 - x - width / 2) / (width / 2)
    down = (rows + 0.5 - y - height / 2) / (height / 2)
    return encode_rle(across**2 + down**2 <= 1)


def keypoints(box: list[float], visible: np.ndarray, rng) -> list[float]:
    """17 keypoints along a box's diagonal, scattered a little."""
    x, y, width, height = box
    along = np.linspace(0, 1, 17)
    points = np.stack([x + width * along, y + height * along, visible], axis=1)
    points[:, :2] += rng.normal(0, 1, (17, 2))
    return (points * (visible > 0)[:, None]).ravel().tolist()


def with_field(results: list[dict], field: str) -> list[dict]:
    """Results that have one field beside the box, as pycocotools must get them.

    With a box beside it, it would take the box's area for the mask's.
    """
    if field == "bbox":
        return results
    rng = np.random.default_rng(7)
    make = {
        "segmentation": ellipse,
        "keypoints": lambda box: keypoints(box, np.ones(17), rng),
    }[field]
    return [
        {key: row[key] for key in ("image_id", "category_id", "score")}
        | {field: make(row["bbox"])}
        for row in results
    ]


def by_pycocotools(
    ground_truth: dict, results: list[dict], measure: Measure
) -> dict[str, float]:
    """What `evaluate_results` names, by COCO's own tool and its own arithmetic."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ground_truth, results = copy.deepcopy((ground_truth, results))
    if not measure.by_class:
        # Not `useCats = 0`, which orders equal scores by their categories.
        for row in ground_truth["annotations"] + results:
            row["category_id"] = 3
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = ground_truth
        truth.createIndex()
        found = truth.loadRes(results)
        oracle = COCOeval(truth, found, measure.overlap)
        oracle.params.maxDets = list(measure.limits)
        oracle.evaluate()
        oracle.accumulate()
        if measure in (BOXES, MASKS, KEYPOINTS):
            oracle.summarize()  # its own choice of what to report
    precision, recall = oracle.eval["precision"], oracle.eval["recall"]
    column = measure.limits.index(measure.precision_limit)
    if measure is PROPOSALS:
        expected = {f"AP{name}": precision[..., s, column] for name, s in SIZES.items()}
        expected |= {
            f"AR{name}@{limit}": recall[..., s, m]
            for m, limit in enumerate(measure.limits)
            for name, s in SIZES.items()
        }
        expected |= {
            "AP50": precision[0, ..., 0, column],
            "AP75": precision[5, ..., 0, column],
        }
        for m, limit in enumerate(measure.limits):
            expected[f"AR50@{limit}"] = recall[0, ..., 0, m]
            expected[f"AR75@{limit}"] = recall[5, ..., 0, m]
        return {name: mean(values) for name, values in expected.items()}
    expected = dict(zip(REPORTED[measure.overlap], oracle.stats, strict=True))
    for k, category in enumerate((3, 5)):
        expected[f"AP/c{category}"] = mean(precision[:, :, k, 0, column])
    return {measure.prefix + name: value for name, value in expected.items()}


def mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean())


# The order of `COCOeval.summarize`.
_BOX_FIGURES = (
    "AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs@100 ARm@100 ARl@100".split()
)
REPORTED = {
    "bbox": _BOX_FIGURES,
    "segm": _BOX_FIGURES,
    "keypoints": ("AP AP50 AP75 APm APl AR@20 AR50@20 AR75@20 ARm@20 ARl@20".split()),
}
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}
MEASURES = {
    "proposals": PROPOSALS,
    "boxes": BOXES,
    "masks": MASKS,
    "keypoints": KEYPOINTS,
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MEASURES)
def test_every_number_equals_pycocotools(name, seed):
    """1e-9: the same arithmetic in float64, in another order of summation."""
    measure = MEASURES[name]
    ground_truth, results = random_case(seed)
    if measure in (MASKS, KEYPOINTS):
        results = with_field(results[:600], FIELDS[measure.overlap])

    metrics = evaluate_results(ground_truth, results, measure)

    expected = by_pycocotools(ground_truth, results, measure)
    assert min(expected.values()) >= 0  # none is the "no objects" value
    assert np.median(list(expected.values())) > 0.005
    assert metrics == pytest.approx(expected, abs=1e-9)


def test_a_box_beside_a_mask_does_not_give_it_its_size():
    """A thin diagonal in a medium box is a small object, and a small result."""
    ground_truth = truth((1, [0, 0, 40, 40]))
    ground_truth["images"][0] |= {"height": 40, "width": 40}
    diagonal = encode_rle(np.eye(40, dtype=bool))
    ground_truth["annotations"][0] |= {"segmentation": diagonal, "area": 40}
    corner = result(1, [0, 0, 40, 40], 0.95) | {"segmentation": bar(20, 20)}
    right = result(1, [0, 0, 40, 40], 0.9) | {"segmentation": diagonal}

    metrics = evaluate_results(ground_truth, [corner, right], MASKS)

    # The wrong result is small too, by its mask, so it counts: by its box, medium, it
    # would be left out of the precision of small objects.
    assert metrics["mask/APs"] == pytest.approx(0.5)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_summary_of_accumulated_is_the_evaluation(measure):
    ground_truth, results = random_case(2)
    results = with_field(results[:50], FIELDS[measure.overlap])

    accumulated = accumulate(ground_truth, results, measure)

    classes = 3 if measure.by_class else 1
    assert len(accumulated.names) == classes
    sizes, limits = len(measure.sizes), len(measure.limits)
    assert accumulated.precision.shape == (10, 101, classes, sizes)
    assert accumulated.recall.shape == (10, classes, sizes, limits)
    assert summarize(accumulated) == evaluate_results(ground_truth, results, measure)
