"""ONNX's own suppression and RoIAlign beside ours."""

from functools import partial

import jax
import numpy as np
import pytest

from fpn_jax.ops.nms import nms, select_detections
from fpn_jax.ops.roi_align import pyramid_roi_align
from tests.support.onnx_twin import assert_same

random = np.random.default_rng(0)


def scattered(*shape, side=40):
    low = random.uniform(0, 60, (*shape, 2))
    boxes = np.concatenate([low, low + random.uniform(2, side, low.shape)], axis=-1)
    return boxes.astype(np.float32)


BOXES = scattered(3, 50)
SCORES = np.round(random.uniform(size=(3, 50)), 1).astype(np.float32)  # with ties
VALID = random.uniform(size=(3, 50)) < 0.8
LABELS = random.integers(0, 4, (3, 50)).astype(np.int32)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_suppression_by_classes_of_several_images(threshold, symbolic):
    def function(boxes, scores, valid, labels):
        def one(boxes, scores, valid, labels):
            return nms(boxes, scores, valid, iou_threshold=threshold, labels=labels)

        return jax.vmap(one)(boxes, scores, valid, labels)

    assert_same(function, BOXES, SCORES, VALID, LABELS, symbolic=symbolic)


def test_suppression_of_one_list_without_classes():
    alone = partial(nms, iou_threshold=0.3)
    assert_same(alone, BOXES[0], SCORES[0], VALID[0])


def test_of_no_valid_box_none_is_kept():
    function = jax.vmap(partial(nms, iou_threshold=0.5))
    assert_same(function, BOXES, SCORES, VALID & False)


@pytest.mark.parametrize("number", [5, 50, 70])
def test_the_best_detections(number):
    def function(*rows):
        best = partial(select_detections, iou_threshold=0.4, max_detections=number)
        return jax.vmap(best)(*rows)

    assert_same(function, BOXES, SCORES, LABELS, VALID)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("samples", [0, 2])
def test_regions_of_several_maps(samples, aligned, symbolic):
    boxes = np.concatenate([scattered(2, 9), scattered(2, 9, side=200)], axis=1) - 10
    fine = random.normal(size=(2, 16, 24, 3)).astype(np.float32)
    coarse = random.normal(size=(2, 8, 12, 3)).astype(np.float32)

    def function(fine, coarse, boxes):
        return pyramid_roi_align(
            {3: fine, 4: coarse},
            boxes,
            canvas=(128, 192),
            size=3,
            sampling_ratio=samples,
            aligned=aligned,
            canonical_size=60,
        )

    assert_same(function, fine, coarse, boxes, symbolic=symbolic)
