"""COCO's plain structures: by hand, and as JSON takes them."""

import dataclasses
import json

import numpy as np

from fpn_jax.data.bitmaps import decode_segmentation
from fpn_jax.data.example import Category, Example, KeypointSpec
from fpn_jax.evaluation.records import coco_ground_truth, coco_results, image_results
from fpn_jax.types import Detections

CATEGORIES = (Category(3, "three"), Category(5, "five"))
MASKS = np.zeros((2, 40, 60), bool)
MASKS[0, 2:8, 1:4] = True

EXAMPLE = Example(
    image_id=7,
    name="seven.png",
    image=np.zeros((40, 60, 3), np.uint8),
    boxes=np.float32([[1, 2, 4, 8], [0, 0, 9, 9]]),
    labels=np.int32([1, 0]),
    crowd=np.array([False, True]),
    areas=np.float32([18, 50]),
)


def test_examples_become_an_annotation_file():
    empty = dataclasses.replace(EXAMPLE.select([]), image_id=8)

    ground_truth = coco_ground_truth([EXAMPLE, empty], CATEGORIES)

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


def test_masks_and_keypoints_become_annotations_too():
    spec = KeypointSpec(("top", "end"), (0, 1), ((0, 1),), sigmas=(0.1, 0.2))
    example = dataclasses.replace(
        EXAMPLE,
        masks=MASKS,
        keypoints=np.float32([[[1, 2, 2], [0, 0, 0]], np.zeros((2, 3))]),
        keypoint_spec=spec,
    )

    ground_truth = coco_ground_truth([example], CATEGORIES, spec)

    first, second = ground_truth["annotations"]
    bitmap = decode_segmentation(first["segmentation"], 40, 60)
    np.testing.assert_array_equal(bitmap, MASKS[0])
    assert first["keypoints"] == [1, 2, 2, 0, 0, 0]
    assert (first["num_keypoints"], second["num_keypoints"]) == (1, 0)
    assert ground_truth["categories"][1] == {
        "id": 5,
        "name": "five",
        "keypoints": ["top", "end"],
        "skeleton": [[1, 2]],  # COCO counts from 1
        "sigmas": [0.1, 0.2],
    }
    json.dumps(ground_truth)


def test_results_are_xywh_of_real_categories_without_padding():
    found = Detections(
        boxes=np.array([[[1, 2, 4, 8], [0, 0, 0, 0]], [[0, 0, 5, 5], [9, 9, 9, 9]]]),
        scores=np.full((2, 2), 0.25, np.float32),
        labels=np.array([[1, 0], [0, 0]]),
        valid=np.array([[True, False], [True, False]]),
    )

    sizes = np.int32([[40, 60], [40, 60]])
    first, second = coco_results(
        np.int64([7, 8]), found, CATEGORIES, sizes=sizes, image_sizes=sizes
    )

    assert first == {
        "image_id": 7,
        "category_id": 5,
        "bbox": [1, 2, 3, 6],
        "score": 0.25,
    }
    assert (second["image_id"], second["category_id"]) == (8, 3)


def test_masks_are_pasted_into_their_own_image():
    """A full mask fills its box, with both of its borders as torchvision counts."""
    found = Detections(
        boxes=np.float32(
            [[[0, 0, 1, 1]], [[20, 8, 60, 28]]]
        ),  # canvas: twice the image
        scores=np.ones((2, 1), np.float32),
        labels=np.zeros((2, 1), int),
        valid=np.array([[False], [True]]),  # the first image is padding, of no size
        masks=np.ones((2, 1, 28, 28), np.float32),
    )

    (result,) = coco_results(
        [-1, 8],
        found,
        CATEGORIES,
        sizes=np.int32([[80, 120], [80, 120]]),
        image_sizes=np.int32([[0, 0], [40, 60]]),
    )

    bitmap = decode_segmentation(result["segmentation"], 40, 60)
    rows, columns = np.nonzero(bitmap)
    ends = rows.min(), rows.max(), columns.min(), columns.max()
    np.testing.assert_allclose(ends, [4, 14, 10, 30], atol=1)
    assert bitmap.sum() == (ends[1] - ends[0] + 1) * (ends[3] - ends[2] + 1)
    json.dumps(result)


def test_keypoints_of_one_image_are_flat_and_visible():
    found = Detections(
        boxes=np.float32([[0, 0, 9, 9]]),
        scores=np.ones(1, np.float32),
        labels=np.zeros(1, int),
        valid=np.ones(1, bool),
        masks=MASKS[:1],
        keypoints=np.float32([[[1, 2], [3.5, 4]]]),
    )

    (result,) = image_results(found, CATEGORIES)

    assert result["keypoints"] == [1, 2, 1, 3.5, 4, 1]
    bitmap = decode_segmentation(result["segmentation"], 40, 60)
    np.testing.assert_array_equal(bitmap, MASKS[0])
