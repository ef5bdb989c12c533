"""Tiles cover an image, and an object of several tiles is found once."""

import numpy as np
import pytest

from fpn_jax.data.given_images import as_image
from fpn_jax.inference import Predictor, load
from fpn_jax.inference.tiles import Tiles, tile_corners, tiled
from fpn_jax.results import Result
from fpn_jax.types import Detections
from tests.support.random_run import directory_of, picture, two_stage


def squares(images):
    """A detector of the white rectangles in black images, as far as it sees them."""
    for image in images:
        shown = as_image(image)[..., 0] > 0
        boxes, scores = [], []
        for value in np.unique(as_image(image)[shown][:, 0]):
            rows, columns = np.nonzero(as_image(image)[..., 0] == value)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            boxes.append(box)
            scores.append(value / 255)
        number = len(boxes)
        masks = np.array(
            [as_image(image)[..., 0] == round(255 * s) for s in scores], bool
        ).reshape(number, *shown.shape)
        found = Detections(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.array(scores, np.float32),
            labels=np.zeros(number, np.int32),
            valid=np.ones(number, bool),
            masks=masks,
            keypoints=np.array(boxes, np.float32).reshape(-1, 2, 2),
            keypoint_scores=np.zeros((number, 2), np.float32),
        )
        yield Result(found, shown.shape)


def scene(boxes) -> np.ndarray:
    image = np.zeros((300, 500, 3), np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        image[y1:y2, x1:x2] = 255 - 10 * number
    return image


@pytest.mark.parametrize(
    "size", [(300, 500), (100, 100), (101, 640), (99, 3), (640, 90)]
)
@pytest.mark.parametrize("overlap", [0, 0.2, 0.5])
def test_tiles_cover_the_image_and_overlap(size, overlap):
    corners = tile_corners(size, Tiles(100, overlap))
    seen = np.zeros(size, int)
    for y, x in corners:
        assert 0 <= y <= max(size[0] - 100, 0) and 0 <= x <= max(size[1] - 100, 0)
        seen[y : y + 100, x : x + 100] += 1
    assert seen.all()
    for starts in ({y for y, _ in corners}, {x for _, x in corners}):
        steps = np.diff(sorted(starts))
        assert (steps <= 100 * (1 - overlap)).all() and (steps > 0).all()


@pytest.mark.parametrize(
    "box",
    [
        (90, 90, 110, 110),  # on the corner of four tiles
        (75, 10, 95, 30),  # within the overlap
        (60, 40, 139, 60),  # larger than the overlap: no tile has all of it
        (10, 10, 480, 290),  # larger than a tile
        (0, 0, 100, 100),  # a tile
        (299, 199, 302, 202),
    ],
)
def test_an_object_at_borders_of_tiles_is_found_once(box):
    (found,) = tiled(squares, Tiles(100, 0.2))([scene([box])])
    np.testing.assert_array_equal(found.boxes, [box])
    np.testing.assert_array_equal(found.keypoints[0].ravel(), box)
    np.testing.assert_array_equal(found.masks[0], scene([box])[..., 0] > 0)


def test_an_object_before_another_is_found_beside_it():
    """The small one is in the box of the large one, and in no tile without it."""
    (found,) = tiled(squares, Tiles(100, 0.2))(
        [scene([(50, 50, 250, 250), (90, 90, 99, 99)])]
    )
    assert [50, 50, 250, 250] in found.boxes.tolist()
    assert [90, 90, 99, 99] in found.boxes.tolist()


def test_the_limit_is_of_the_image():
    boxes = [(x, 5, x + 9, 14) for x in range(10, 490, 40)]
    (found,) = tiled(squares, Tiles(100, 0.2), max_detections=3)([scene(boxes)])
    assert sorted(found.boxes[:, 0].tolist()) == [10, 50, 90]


def test_objects_side_by_side_stay_apart():
    boxes = [(x, y, x + 12, y + 12) for x in range(4, 480, 16) for y in (90, 106)]
    boxes = boxes[:25]
    (found,) = tiled(squares, Tiles(100, 0.2, whole=False))([scene(boxes)])
    assert sorted(map(tuple, found.boxes.astype(int).tolist())) == sorted(boxes)
    assert (np.diff(found.scores) <= 0).all()


def test_images_of_many_sizes_keep_their_order():
    images = [scene([(5, 5, 9, 9)]), np.zeros((50, 50, 3), np.uint8), scene([])]
    images.append(scene([(7, 7, 9, 9), (450, 250, 470, 270)]))
    found = [*tiled(squares, Tiles(100))(images)]
    assert [len(result) for result in found] == [1, 0, 0, 2]
    assert [result.size for result in found] == [image.shape[:2] for image in images]


@pytest.mark.parametrize("side, overlap", [(0, 0.2), (64, 1.0), (64, -0.1), (1.5, 0.2)])
def test_tiles_that_mean_nothing_are_a_line(side, overlap):
    with pytest.raises(ValueError, match="^(tiles|overlap): .* given, must be "):
        Tiles(side, overlap)


def test_a_detector_looks_at_tiles_in_few_programs(tmp_path_factory, tmp_path):
    run = directory_of(two_stage(), tmp_path_factory)
    detect = load(run, tiles=96, batch_size=2)
    image = picture(200, 300)
    found = detect(image)
    whole, *tiles = Predictor.each(
        load(run, batch_size=2),
        [image, *(image[y : y + 96, x : x + 96] for y, x in corners_of(image))],
    )
    most = len(whole) + sum(map(len, tiles))
    assert len(whole) < len(found) <= most
    assert found.size == (200, 300) and found.boxes[:, 2].max() > 200
    assert found.image.shape == image.shape


def corners_of(image):
    return tile_corners(image.shape[:2], Tiles(96))
