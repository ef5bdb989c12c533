"""Precision, recall and F1 by score, of scenes that are counted by hand."""

import math

import numpy as np
import pytest

from fpn_jax.evaluation.coco import BOXES, accumulate
from fpn_jax.evaluation.figures import all_figures
from fpn_jax.evaluation.operating_point import best_figures, score_curves
from tests.support.scenes import CAT, DOG, LEFT, RIGHT, found, scene


def at(curves, threshold: float) -> tuple[list, list, list]:
    row = int(np.searchsorted(curves.thresholds, threshold))
    return tuple(
        each[row].tolist() for each in (curves.precision, curves.recall, curves.f1)
    )


def test_each_score_has_the_detections_that_reach_it():
    truth = scene((CAT, LEFT), (CAT, RIGHT))
    results = [
        found(CAT, LEFT, 0.9),
        found(CAT, [100, 0, 10, 10], 0.5),  # nothing there
        found(CAT, RIGHT, 0.25),
    ]

    curves = score_curves(truth, results)

    assert curves.names == ("cat",)  # there is no dog
    assert at(curves, 0.95)[1:] == ([0], [0]) and math.isnan(at(curves, 0.95)[0][0])
    assert at(curves, 0.9) == ([1], [0.5], [2 / 3])
    assert at(curves, 0.5) == ([0.5], [0.5], [0.5])
    assert at(curves, 0.25) == ([2 / 3], [1], [0.8])
    best = best_figures(curves)
    assert best["F1"] == 0.8 and 0 <= best["F1/threshold"] <= 0.25
    assert (best["F1/precision"], best["F1/recall"]) == (2 / 3, 1)


def test_of_equal_thresholds_the_middle_is_advised():
    curves = score_curves(scene((CAT, LEFT)), [found(CAT, LEFT, 0.8)])
    assert best_figures(curves)["F1/threshold"] == pytest.approx(0.4)


def test_an_object_is_taken_once_by_the_highest_score():
    results = [found(CAT, LEFT, 0.5), found(CAT, [1, 0, 10, 10], 0.75)]
    curves = score_curves(scene((CAT, LEFT)), results)
    assert at(curves, 0.75) == ([1], [1], [1])
    assert at(curves, 0.5) == ([0.5], [1], [2 / 3])


def test_another_class_and_another_image_take_nothing():
    results = [found(DOG, LEFT), found(CAT, LEFT, image=2)]
    curves = score_curves(scene((CAT, LEFT)), results)
    assert at(curves, 0.5) == ([0], [0], [0])


def test_a_crowd_absorbs_results_and_is_no_object():
    truth = scene((CAT, LEFT), (CAT, [100, 0, 50, 50]))
    truth["annotations"][1]["iscrowd"] = 1
    results = [found(CAT, LEFT), found(CAT, [110, 10, 10, 10]), found(CAT, RIGHT)]
    assert at(score_curves(truth, results), 0.5) == ([0.5], [1], [2 / 3])


def test_means_are_of_the_classes_that_have_objects():
    truth = scene((CAT, LEFT), (DOG, RIGHT))
    best = best_figures(score_curves(truth, [found(CAT, LEFT)]))
    assert best["F1"] == 0.5 and best["F1/recall"] == 0.5
    assert best["F1/precision"] == 1  # of the cats: no dog was found


def test_without_objects_there_is_nothing_to_say():
    assert score_curves(scene(), [found(CAT, LEFT)]) is None
    assert all(map(math.isnan, best_figures(None).values()))


def test_the_recall_of_all_results_is_coco_s():
    """Random scenes; COCO's engine pairs by the same rule."""
    rng = np.random.default_rng(0)

    def boxes(n):
        return np.hstack([rng.uniform(0, 60, (n, 2)), rng.uniform(10, 40, (n, 2))])

    truth = {
        "images": [{"id": n} for n in range(6)],
        "categories": [{"id": DOG, "name": "dog"}, {"id": CAT, "name": "cat"}],
        "annotations": [
            {
                "image_id": n,
                "category_id": c,
                "bbox": [*b],
                "iscrowd": 0,
                "area": b[2] * b[3],
            }
            for n in range(6)
            for c, b in zip((CAT, DOG) * 4, boxes(8), strict=True)
        ],
    }
    results = [
        found(c, [*(np.array(row["bbox"]) + rng.normal(0, 4, 4))], rng.uniform(), n)
        for row in truth["annotations"]
        for c, n in [(row["category_id"], row["image_id"])]
    ]
    for row, number in zip(truth["annotations"], range(1, 99), strict=False):
        row["id"] = number

    curves = score_curves(truth, results)
    recall = accumulate(truth, results, BOXES).recall[0, :, 0, -1]

    np.testing.assert_allclose(curves.recall[0], recall)
    assert 0.2 < recall.mean() < 1
    figures = all_figures(truth, results, (BOXES,))
    assert figures["F1"] == best_figures(curves)["F1"] and "AP" in figures
