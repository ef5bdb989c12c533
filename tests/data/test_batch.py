import numpy as np
import pytest

from fpn_jax.data.batch import blank, stack, to_canvas
from fpn_jax.data.example import KeypointSpec
from tests.support.painted_example import painted_example

ONE = [[30, 20, 90, 70]]
TWO_POINTS = KeypointSpec(names=("left", "right"), flip=(1, 0))


def test_the_canvas_by_hand():
    row = to_canvas(painted_example([[30, 20, 90, 70], [0, 0, 5, 9]]), (128, 192), 3)
    assert row["images"].shape == (128, 192, 3)
    assert row["images"][20, 30].tolist() == [100] * 3
    assert not row["images"][120:].any() and not row["images"][:, 160:].any()
    assert row["sizes"].tolist() == [120, 160]
    assert row["boxes"].tolist() == [[30, 20, 90, 70], [0, 0, 5, 9], [0] * 4]
    assert row["labels"].tolist() == [0, 1, 0]
    assert row["valid"].tolist() == [True, True, False]
    assert {k: v.dtype.name for k, v in row.items()} == {
        "images": "uint8",
        "sizes": "int32",
        "boxes": "float32",
        "labels": "int32",
        "valid": "bool",
        "crowd": "bool",
        "image_ids": "int64",
    }


def test_of_too_many_boxes_the_largest_are_kept_in_their_order():
    example = painted_example(
        [[0, 0, 9, 9], [0, 0, 2, 2], [0, 0, 30, 30], [0, 0, 20, 20]]
    )
    assert to_canvas(example, (120, 160), 3)["labels"].tolist() == [0, 2, 3]


def test_a_crowd_region_takes_the_place_of_no_object():
    boxes = [[0, 0, 9, 9], [0, 0, 90, 90], [0, 0, 30, 30], [0, 0, 80, 80]]
    example = painted_example(boxes, crowd=np.array([False, True, False, True]))
    row = to_canvas(example, (120, 160), 3)
    assert row["labels"].tolist() == [0, 1, 2]
    assert row["crowd"].tolist() == [False, True, False]
    assert to_canvas(example, (120, 160), 2)["labels"].tolist() == [0, 2]


def test_a_box_without_area_is_left_out():
    example = painted_example([[0, 0, 9, 9]])
    line = painted_example([[0, 0, 9, 9], [4, 4, 4, 80]])
    for key, value in to_canvas(line, (120, 160), 5).items():
        np.testing.assert_array_equal(value, to_canvas(example, (120, 160), 5)[key])


def test_an_image_larger_than_the_canvas_is_an_error():
    with pytest.raises(ValueError, match=r"^canvas: \(120, 159\) .* painted"):
        to_canvas(painted_example(ONE), (120, 159), 3)


def _with_keypoints(boxes):
    """Points at the upper left and the lower right corner of every box."""
    corners = np.reshape(boxes, (-1, 2, 2)).astype(np.float32)
    keypoints = np.concatenate([corners, np.full_like(corners[..., :1], 2)], axis=-1)
    return painted_example(boxes, keypoints=keypoints, keypoint_spec=TWO_POINTS)


def test_masks_and_keypoints_come_only_if_asked_for():
    example = _with_keypoints(ONE)
    plain = set(to_canvas(example, (128, 192), 3))
    with_masks = set(to_canvas(example, (128, 192), 3, mask_size=8))
    assert with_masks - plain == {"masks", "mask_regions"}
    assert set(to_canvas(example, (128, 192), 3, keypoints=True)) - plain == {
        "keypoints"
    }


def test_masks_and_keypoints_of_a_row_by_hand():
    row = to_canvas(_with_keypoints(ONE), (128, 192), 2, mask_size=4, keypoints=True)
    assert {k: (row[k].dtype.name, row[k].shape) for k in ("masks", "keypoints")} == {
        "masks": ("uint8", (2, 4, 4)),
        "keypoints": ("float32", (2, 2, 3)),
    }
    assert row["masks"][0].all() and not row["masks"][1].any()  # padding
    np.testing.assert_array_equal(row["mask_regions"], row["boxes"])
    expected = [[[30, 20, 2], [90, 70, 2]], [[0, 0, 0], [0, 0, 0]]]
    assert row["keypoints"].tolist() == expected


def test_a_mask_shows_what_its_region_holds():
    masks = np.zeros((1, 120, 160), np.bool_)
    masks[0, 20:70, 30:60] = True  # the left half of the box
    row = to_canvas(painted_example(ONE, masks=masks), (120, 160), 1, mask_size=6)
    np.testing.assert_array_equal(row["masks"][0], [[1, 1, 1, 0, 0, 0]] * 6)


def test_masks_and_keypoints_stay_with_their_boxes():
    boxes = [[0, 0, 9, 9], [4, 4, 4, 80], [0, 0, 2, 2], [10, 0, 40, 30]]
    row = to_canvas(_with_keypoints(boxes), (120, 160), 2, mask_size=4, keypoints=True)
    assert row["labels"].tolist() == [0, 3]
    assert row["masks"].all()
    np.testing.assert_array_equal(row["keypoints"][:, 1, :2], row["boxes"][:, 2:])


@pytest.mark.parametrize(
    ("asked", "name"), [({"mask_size": 4}, "masks"), ({"keypoints": True}, "keypoints")]
)
def test_what_an_example_does_not_have_is_an_error(asked, name):
    with pytest.raises(ValueError, match=f"^{name}: asked for, but painted has none"):
        to_canvas(painted_example(ONE, masks=None), (120, 160), 3, **asked)


def test_a_blank_fills_a_row_like_any_other():
    settings = {"mask_size": 4, "keypoints": True}
    rows = [
        to_canvas(example, (120, 160), 3, **settings)
        for example in (_with_keypoints(ONE), blank((120, 160), TWO_POINTS))
    ]
    batch = stack(rows)
    assert batch["keypoints"].shape == (2, 3, 2, 3)
    for name in ("images", "valid", "masks", "keypoints"):
        assert batch[name][0].any() and not batch[name][1].any()
    blank_row = to_canvas(blank((120, 160), None), (120, 160), 3, mask_size=4)
    assert not blank_row["masks"].any()
