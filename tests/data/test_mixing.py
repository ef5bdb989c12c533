"""Mosaics and mix-ups: pixels, masks and keypoints stay with their boxes."""

import dataclasses

import numpy as np
import pytest

from fpn_jax.data.example import KeypointSpec, UnreadableImage
from fpn_jax.data.mixing import CopyPaste, MixUp, Mosaic
from fpn_jax.data.transforms import HorizontalFlip
from tests.support.gray_source import GraySource
from tests.support.painted_example import painted_example

CANVAS = (120, 160)
POINTS = KeypointSpec(names=("upper left", "missing"), flip=(0, 1))


class Painted:
    """Four images of one object each, of an own brightness, which is its label's."""

    name = "painted"
    keypoint_spec = POINTS
    defects = ()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, y = 30 + 10 * index, 20 + 10 * index
        example = painted_example(
            [[x, y, x + 60, y + 50]],
            keypoints=np.float32([[[x, y, 2], [0, 0, 0]]]),
            keypoint_spec=POINTS,
        )
        return dataclasses.replace(
            example,
            image=np.where(example.image > 0, np.uint8(150 + 20 * index), np.uint8(0)),
            labels=np.int32([index]),
        )


SOURCE = Painted()


def rng(seed=0):
    return np.random.default_rng(seed)


def assert_rows_agree(example):
    """Boxes, masks, areas and keypoints of every row are of the same place."""
    height, width = example.image.shape[:2]
    assert example.masks.shape == (len(example.boxes), height, width)
    for row, (x1, y1, x2, y2) in enumerate(example.boxes):
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        ys, xs = np.nonzero(example.masks[row])
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == [x1, y1, x2, y2]
        np.testing.assert_allclose(example.areas[row], (x2 - x1) * (y2 - y1))
        assert example.keypoints[row, 1].tolist() == [0, 0, 0]
        if example.keypoints[row, 0, 2]:
            assert example.keypoints[row, 0].tolist() == [x1, y1, 2]


class Other(Painted):
    """Every image is the one with the given object."""

    def __init__(self, box, **changes):
        self.example = painted_example(
            [box],
            labels=np.int32([7]),
            keypoints=np.float32([[[*box[:2], 2], [0, 0, 0]]]),
            keypoint_spec=POINTS,
            **changes,
        )

    def __getitem__(self, index):
        return self.example


def pasted(box, example, *, transforms=(), **changes):
    """The example with the object, which the first fitting seed takes, on top."""
    for seed in range(20):
        result = CopyPaste(Other(box, **changes), transforms, 1.0)(example, rng(seed))
        if 7 in result.labels:
            return result
    raise AssertionError("no seed takes the object")


def test_a_pasted_object_covers_what_is_behind_it():
    # 30 … 90 by 20 … 70, of which the right half is covered.
    mixed = pasted([60, 10, 140, 100], SOURCE[0])
    assert mixed.labels.tolist() == [0, 7]
    assert mixed.boxes.tolist() == [[30, 20, 60, 70], [60, 10, 140, 100]]
    assert mixed.areas.tolist() == [30 * 50, 80 * 90]
    assert_rows_agree(mixed)
    assert (mixed.image[mixed.masks[0]] == 150).all()
    assert (mixed.image[mixed.masks[1]] == 100).all()
    assert not (mixed.masks[0] & mixed.masks[1]).any()
    assert (mixed.image_id, mixed.name) == (1, "painted")


def test_what_is_covered_is_dropped_and_its_points_are_hidden():
    assert pasted([0, 0, 80, 110], SOURCE[0]).labels.tolist() == [7]  # a sixth is left
    mixed = pasted([20, 10, 50, 40], SOURCE[0])
    assert mixed.labels.tolist() == [0, 7]
    assert mixed.keypoints[0].tolist() == [[30, 20, 1], [0, 0, 0]]
    assert mixed.boxes[0].tolist() == [30, 20, 90, 70]  # a corner is no side


def test_an_object_of_which_no_pixel_fits_is_not_pasted():
    small = dataclasses.replace(
        painted_example([[5, 5, 20, 20]], 40, 50, labels=np.int32([3])),
        keypoints=np.zeros((1, 2, 3), np.float32),
        keypoint_spec=POINTS,
    )
    mask = np.zeros((1, 120, 160), np.bool_)
    mask[0, 10:30, 100:140] = True  # right of what the small image shows
    with pytest.raises(AssertionError, match="no seed"):
        pasted([0, 10, 140, 30], small, masks=mask)


def test_crowds_are_neither_pasted_nor_dropped():
    crowd = dataclasses.replace(SOURCE[0], crowd=np.array([True]))
    mixed = pasted([0, 0, 150, 110], crowd)
    assert mixed.labels.tolist() == [0, 7]
    assert mixed.masks[0].sum() == 60 * 50
    with pytest.raises(AssertionError, match="no seed"):
        pasted([0, 0, 150, 110], SOURCE[0], crowd=np.array([True]))


def test_objects_are_pasted_from_images_of_another_size():
    small = painted_example([[5, 5, 20, 20]], 30, 40, labels=np.int32([3]))
    small = dataclasses.replace(
        small, keypoints=np.zeros((1, 2, 3), np.float32), keypoint_spec=POINTS
    )
    mixed = pasted([10, 10, 60, 28], small)
    assert mixed.image.shape == (30, 40, 3)
    assert mixed.boxes[mixed.labels == 7].tolist() == [[10, 10, 40, 28]]
    flipped = pasted([10, 10, 60, 28], SOURCE[0], transforms=(HorizontalFlip(1.0),))
    assert flipped.boxes[flipped.labels == 7].tolist() == [[100, 10, 150, 28]]


@pytest.mark.parametrize("seed", range(20))
def test_a_mosaic_is_four_images_with_their_objects(seed):
    mosaic = Mosaic(SOURCE, CANVAS)(SOURCE[2], rng(seed))
    assert mosaic.image.shape == (240, 320, 3)
    assert (mosaic.image_id, mosaic.name) == (1, "painted")
    assert_rows_agree(mosaic)
    for row, label in enumerate(mosaic.labels):
        assert (mosaic.image[mosaic.masks[row]] == 150 + 20 * label).all()
    # Nothing of an object is anywhere else, but what was dropped: a quarter at most.
    objects = (mosaic.image >= 150).all(axis=-1)
    left = objects.sum() - mosaic.masks.sum()
    assert 0 <= left <= (4 - len(mosaic.labels)) * 60 * 50 / 4


def test_the_images_of_a_mosaic_meet_in_a_point_and_gray_is_outside():
    shown = set()
    for seed in range(20):
        mosaic = Mosaic(SOURCE, CANVAS)(SOURCE[0], rng(seed))
        pictured = (mosaic.image != 114).all(axis=-1)
        rows = np.flatnonzero(pictured.any(axis=1))
        columns = np.flatnonzero(pictured.any(axis=0))
        # A rectangle of two canvases each way, as much of it as there is room for.
        assert pictured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert len(rows) >= 180 and len(columns) >= 240
        shown.add((rows[0], columns[0]))
    assert len(shown) > 10


def test_a_mixup_by_hand():
    (first, second) = SOURCE[0], SOURCE[3]

    class Second(Painted):
        def __getitem__(self, index):
            return second

    mixed = MixUp(Second(), (HorizontalFlip(1.0),))(first, rng())
    assert mixed.labels.tolist() == [0, 3]
    # 160 px wide: 60 … 120 becomes 40 … 100.
    assert mixed.boxes.tolist() == [[30, 20, 90, 70], [40, 50, 100, 100]]
    assert mixed.image[30, 35, 0] == 75  # 150 and black
    assert mixed.image[60, 50, 0] == (150 + 210) // 2
    assert mixed.masks[1, 60, 50] and not mixed.masks[1, 60, 105]
    assert mixed.keypoints[0, 0].tolist() == [30, 20, 2]


def test_a_mixup_of_unequal_images_is_as_large_as_both():
    wide, tall = painted_example([], 40, 90), painted_example([[5, 60, 20, 80]], 80, 50)

    class Tall(Painted):
        def __getitem__(self, index):
            return tall

    mixed = MixUp(Tall())(wide, rng())
    assert mixed.image.shape == (80, 90, 3)
    assert mixed.boxes.tolist() == [[5, 60, 20, 80]]
    assert mixed.image[10, 10, 0] == 0 and mixed.image[10, 80, 0] == 57
    assert mixed.image[70, 10, 0] == (114 + 100) // 2 and mixed.image[70, 80, 0] == 114


def test_the_probability_is_kept():
    mosaic, mixup = Mosaic(SOURCE, CANVAS, 0.3), MixUp(SOURCE, (), 0.3)
    for kind in (mosaic, mixup, CopyPaste(SOURCE, (), 0.3)):
        random, example = rng(), SOURCE[1]
        changed = sum(kind(example, random) is not example for _ in range(200))
        assert 40 < changed < 80


def test_examples_have_no_masks_or_keypoints_where_the_source_has_none():
    source = GraySource(3)
    for kind in (Mosaic(source, (40, 40)), MixUp(source)):
        mixed = kind(source[0], rng())
        assert mixed.masks is None and mixed.keypoints is None
        assert len(mixed.boxes) == len(mixed.labels) == len(mixed.areas) >= 1


def test_unreadable_images_are_passed_over_and_a_source_of_them_is_told():
    source = GraySource(5, unreadable=(0, 1, 3, 4))
    assert len(MixUp(source)(source[2], rng()).boxes) == 2
    nothing = GraySource(2, unreadable=(0, 1))
    with pytest.raises(UnreadableImage, match="jpg: broken"):
        MixUp(nothing)(source[2], rng())
