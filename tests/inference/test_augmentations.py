"""Several views of an image find what each of them shows, once."""

import numpy as np
import pytest

from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.inference import load
from fpn_jax.inference.augmentations import augmented, parse_ways
from fpn_jax.inference.merging import _overlap, merged
from fpn_jax.results import Result
from fpn_jax.types import Detections
from tests.support.random_run import directory_of, picture, two_stage

POOL = RoIPool(size=14, levels=(3, 4))


def detections(boxes, scores, labels=None, masks=None) -> Detections:
    number = len(boxes)
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        labels=np.array([0] * number if labels is None else labels, np.int32),
        valid=np.ones(number, bool),
        masks=masks,
    )


def test_the_best_view_of_an_object_counts():
    first = detections([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.3])
    second = detections([[0, 0, 10, 11], [50, 50, 60, 60]], [0.5, 0.8], [0, 1])
    found = merged([first, second], threshold=0.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.3])
    assert found.labels.tolist() == [0, 1, 0]  # another class is another object
    assert len(merged([first, second], threshold=0.5, max_detections=1).scores) == 1
    assert len(merged([detections([], [])], threshold=0.5).scores) == 0


def test_objects_that_one_view_tells_apart_stay_apart():
    near = [[0, 0, 10, 10], [0, 2, 10, 12]]  # IoU 2/3
    first = detections(near, [0.9, 0.8])
    second = detections(near, [0.7, 0.6])
    for parts in ([first], [first, second]):
        found = merged(parts, threshold=0.5)
        np.testing.assert_allclose(found.scores, [0.9, 0.8])


def test_each_view_may_find_an_object_of_its_own():
    boxes = [[0, 0, 10, 10], [10, 10, 20, 20], [20, 0, 30, 10]]

    def sees(*numbers):
        found = detections([boxes[n] for n in numbers], [0.9 - n / 9 for n in numbers])
        return lambda images: (Result(found, (20, 40)) for _ in images)

    image = np.zeros((20, 40, 3), np.uint8)
    ways = [sees(2), sees(0, 1)]
    (found,) = augmented(sees(), ways, flip=False)([image])
    np.testing.assert_array_equal(found.boxes, boxes)
    (found,) = augmented(sees(1), ways, flip=False, max_detections=2)([image])
    np.testing.assert_array_equal(found.boxes, boxes[:2])


def test_boxes_of_a_mirror_image_come_back():
    mask = np.zeros((1, 20, 40), bool)
    mask[0, 2:6, 30:38] = True

    def right_edge(images):  # finds only what is on the right
        for image in images:
            found = detections([[30, 2, 38, 6]], [0.9], masks=mask)
            seen = image[4, 34, 0] > 0
            yield Result(found, (20, 40))[:1] if seen else Result(found, (20, 40))[:0]

    image = np.zeros((20, 40, 3), np.uint8)
    image[2:6, 2:10] = 255
    (found,) = augmented(right_edge, [], flip=True)([image])
    np.testing.assert_array_equal(found.boxes, [[2, 2, 10, 6]])
    np.testing.assert_array_equal(found.masks[0], image[..., 0] > 0)


def test_views_are_asked_for_by_words():
    assert parse_ways("flip, 0.8,1.2") == ("flip", 0.8, 1.2)
    assert parse_ways("") == parse_ways([]) == ()
    assert parse_ways(["flip", 0.8]) == ("flip", 0.8)
    for wrong in ("mirror", "0", "flip,9", "nan", "1,,x"):
        with pytest.raises(ValueError, match="^tta: '.*' given, must be 'fl"):
            parse_ways(wrong)


def test_a_detector_finds_at_least_the_objects_of_one_view(tmp_path_factory):
    run = directory_of(
        two_stage(mask_head=MaskHead(2, pool=POOL, num_convs=1, channels=8)),
        tmp_path_factory,
    )
    image = picture(96, 128)
    plain = load(run)(image)
    several = load(run, tta="flip,0.75", max_detections=1000)(image)
    assert len(several) >= len(plain) > 0 and several.masks.shape[1:] == (96, 128)
    for box, label, score in zip(plain.boxes, plain.labels, plain.scores, strict=True):
        same = several.labels == label
        iou = _overlap(box, several.boxes, False)
        assert (several.scores[same & (iou > 0.5)] >= score - 1e-6).any()
    both = load(run, tta="0.75", tiles=64)(image)
    assert len(both) > len(plain)
    assert len(load(run, tta="0.75", tiles=64, max_detections=2)(image)) == 2


def test_left_and_right_keypoints_are_not_exchanged(tmp_path_factory):
    head = KeypointHead(3, pool=POOL, num_convs=1, channels=8)
    run = directory_of(two_stage(keypoint_head=head), tmp_path_factory)
    with pytest.raises(ValueError, match="^tta: keypoints have a left and a right"):
        load(run, tta="flip")(picture(96, 128))
    assert len(load(run, tta="1.5")(picture(96, 128))) > 0
