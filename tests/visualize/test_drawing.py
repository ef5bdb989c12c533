"""What is drawn where on an image."""

import numpy as np
import pytest

from fpn_jax.types import Detections
from fpn_jax.visualize.drawing import (
    draw_boxes,
    draw_detections,
    draw_keypoints,
    draw_masks,
    draw_truth,
)

GRAY = np.full((100, 120, 3), 128, np.uint8)
BOX = np.float32([[30, 40, 90, 80]])


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rows and columns of the changed pixels, as (top, left, bottom, right)."""
    rows, columns = np.nonzero((before != after).any(axis=-1))
    return np.array([rows.min(), columns.min(), rows.max(), columns.max()])


@pytest.mark.parametrize("draw", [draw_boxes, draw_truth])
def test_a_box_is_drawn_along_its_edges_on_a_copy(draw):
    picture = draw(GRAY, BOX)

    assert (GRAY == 128).all()
    # Lines are two pixels wide or less, one of them on the edge.
    np.testing.assert_allclose(changed(GRAY, picture), [40, 30, 80, 90], atol=1)
    assert (picture[45:75, 35:85] == 128).all()


@pytest.mark.parametrize("draw", [draw_boxes, draw_truth])
def test_padding_boxes_are_not_drawn(draw):
    assert (draw(GRAY, BOX, valid=np.array([False])) == GRAY).all()


def test_labels_choose_the_color_and_rows_do_without_labels():
    boxes = np.concatenate([BOX, BOX + 5])
    by_row, by_label = (
        draw_boxes(GRAY, boxes, labels=labels) for labels in (None, np.array([1, 1]))
    )
    first, second = (40, 60), (45, 60)  # a pixel of either upper edge

    assert (by_row[first] != by_row[second]).any()
    assert (by_label[first] == by_row[second]).all()


def test_truth_is_dashed_in_black_and_white():
    edge = draw_truth(GRAY, BOX)[40, 30:90]

    assert {tuple(pixel) for pixel in edge.tolist()} == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize("corner", [(-20, -20), (0, 0), (110, 90), (118, 0)])
def test_a_tag_stays_readable_at_the_border_of_the_image(corner):
    box = np.float32([[*corner, corner[0] + 30, corner[1] + 30]])
    plain = draw_boxes(GRAY, box)
    tagged = draw_boxes(GRAY, box, scores=np.float32([0.87]), labels=[2], names="abc")

    top, left, bottom, right = changed(plain, tagged)
    assert bottom - top >= 9
    assert right - left >= 20


def test_a_mask_tints_its_pixels_and_no_others():
    mask = np.zeros((1, 100, 120), bool)
    mask[0, 40:80, 30:90] = True

    picture = draw_masks(GRAY, mask)

    assert (GRAY == 128).all()
    different = (picture != GRAY).any(axis=-1)
    np.testing.assert_array_equal(different, mask[0])
    inside, outline = picture[60, 60].astype(int), picture[40, 60].astype(int)
    # The tint lets the image through; the outline does not.
    assert np.abs(inside - 128).max() < np.abs(outline - 128).max()


def test_a_hole_in_a_mask_stays_clear():
    mask = np.zeros((1, 100, 120), bool)
    mask[0, 20:80, 20:80] = True
    mask[0, 40:60, 40:60] = False

    assert (draw_masks(GRAY, mask)[45:55, 45:55] == 128).all()


def test_keypoints_are_dots_joined_by_the_skeleton():
    points = np.float32([[[20, 50], [100, 50], [60, 90]]])

    dots = draw_keypoints(GRAY, points)
    joined = draw_keypoints(GRAY, points, skeleton=[(0, 1)])

    for x, y in points[0].astype(int):
        assert (dots[y, x] != 128).any()
    assert (dots[50, 60] == 128).all()
    assert (joined[50, 60] != 128).any()
    assert (joined[70, 80] == 128).all()  # points 1 and 2 are not joined


def test_detections_are_drawn_with_all_they_have_and_without_padding():
    mask = np.zeros((2, 100, 120), bool)
    mask[0, 40:80, 30:90] = True
    found = Detections(
        boxes=np.concatenate([BOX, BOX - 20]),
        scores=np.float32([0.9, 0.9]),
        labels=np.array([1, 0]),
        valid=np.array([True, False]),
        masks=mask,
        keypoints=np.float32([[[60, 60], [80, 60]], [[5, 5], [5, 95]]]),
    )

    picture = draw_detections(GRAY, found, names=["cat", "dog"], skeleton=[(0, 1)])

    box = draw_boxes(GRAY, BOX, scores=found.scores, labels=[1], names=["cat", "dog"])
    top, left, bottom, right = changed(GRAY, box)
    np.testing.assert_array_equal(changed(GRAY, picture), [top, left, bottom, right])
    np.testing.assert_array_equal(picture[:40], box[:40])  # the same tag
    assert (picture[60, 70] != picture[70, 70]).any()  # the skeleton, the mask
    assert (picture[70, 70] != 128).any()


def test_one_class_needs_no_name_and_each_object_has_its_own_color():
    found = Detections(
        boxes=np.concatenate([BOX, BOX + 5]),
        scores=np.float32([0.9, 0.8]),
        labels=np.array([0, 0]),
        valid=np.array([True, True]),
    )

    np.testing.assert_array_equal(
        draw_detections(GRAY, found, names=["person"]),
        draw_boxes(GRAY, found.boxes, scores=found.scores),
    )


def test_tags_of_neighboring_boxes_do_not_cover_each_other():
    boxes = np.float32([[20, 60, 90, 90], [20, 64, 80, 88], [24, 58, 95, 95]])
    tags = [changed(GRAY, _tag_alone(boxes[: n + 1])) for n in range(3)]
    for n, (top, left, bottom, right) in enumerate(tags):
        for other in tags[:n]:
            beside = right < other[1] or other[3] < left
            assert beside or bottom < other[0] or other[2] < top


def _tag_alone(boxes: np.ndarray) -> np.ndarray:
    """The image with the tag of the last box, where those before it have theirs."""
    picture, before = (
        draw_boxes(GRAY, boxes, scores=np.full(len(boxes), 0.5, np.float32), valid=rows)
        for rows in (np.ones(len(boxes), bool), np.arange(len(boxes)) < len(boxes) - 1)
    )
    box = draw_boxes(before, boxes[-1:])
    for corner in (box, before):  # the lines of boxes are no tags
        lines = (draw_boxes(GRAY, boxes) != GRAY).any(-1)
        corner[lines] = picture[lines] = 128
    return np.where((picture != before).any(-1, keepdims=True), 0, GRAY)


def test_small_boxes_of_a_large_image_are_not_covered_by_their_tags():
    image = np.full((2400, 2400, 3), 128, np.uint8)
    boxes = np.float32([[100, 100, 140, 140], [400, 400, 440, 440]])
    drawn = draw_boxes(image, boxes, scores=np.float32([0.9, 0.8]))
    top, left, bottom, right = changed(image, drawn)
    assert top > 100 - 20 and left >= 98
    assert (drawn[104:136, 104:136] == 128).all()


def test_the_name_of_a_true_box_is_white_at_its_lower_right():
    plain, named = draw_truth(GRAY, BOX), draw_truth(GRAY, BOX, names=["cat"])
    rows, columns = np.nonzero((plain != named).any(axis=-1))
    _, _, right, bottom = (int(side) for side in BOX[0])
    assert columns.max() == right and rows.min() >= bottom
    assert (named[rows.max(), columns.max()] == 255).all()
