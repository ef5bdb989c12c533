"""The result of an image: what it tells, and the forms of other libraries."""

import json
from dataclasses import replace

import numpy as np
import pandas
import pytest
import supervision
from PIL import Image

from fpn_jax.data.bitmaps import decode_segmentation
from fpn_jax.data.example import Category
from fpn_jax.results import Result
from fpn_jax.results.classes import counted
from tests.support.some_result import BOXES, IMAGE, result

EVERY = pytest.mark.parametrize(
    "heads",
    [{}, {"masks": True}, {"keypoints": True}],
    ids=["boxes", "masks", "points"],
)
NUMBERS = pytest.mark.parametrize("num", [3, 0])


def test_it_is_a_sequence_of_its_objects():
    found = result(masks=True, keypoints=True)
    assert len(found) == 3 and found.class_names == ["person", "dog", "person"]
    assert found[1].class_names == found[-2].class_names == ["dog"]
    assert [part.scores.item() for part in found] == found.scores.tolist()
    some = found[found.scores > 0.5]
    assert len(some) == 2 and some.masks.shape == (2, 40, 60)
    np.testing.assert_array_equal(some.keypoint_scores, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found[[2, 0]].boxes, BOXES[[2, 0]])
    assert len(found[:0]) == 0
    with pytest.raises(IndexError):
        found[3]


def test_classes_are_asked_for_by_name_or_label():
    found = result()
    assert (
        found.filter(classes="Person").scores.tolist() == found.scores[[0, 2]].tolist()
    )
    assert found.filter(classes=["dog", 0], score_threshold=0.5).labels.tolist() == [
        0,
        1,
    ]
    assert len(found.filter(classes="bottle")) == 0
    assert len(found.filter(classes="dog, person")) == 3
    assert len(found.filter(score_threshold=0.75)) == 2
    with pytest.raises(
        ValueError, match="classes: 'dig' is none of .* 3 .*nearest: 'dog'"
    ):
        found.filter(classes=["person", "dig"])
    with pytest.raises(ValueError, match="3 is none of the model's 3 classes"):
        found.filter(classes=3)
    with pytest.raises(ValueError, match="score_threshold: 50 given"):
        found.filter(score_threshold=50)


def test_a_name_counts_before_its_number():
    digits = tuple(Category(k, name) for k, name in enumerate("9876543210"))
    found = Result(result().detections, (40, 60), digits)
    assert found.filter(classes="9").labels.tolist() == [0, 0]
    assert found.filter(classes=1).labels.tolist() == []  # the class named 1


def test_its_text_is_short_and_counts():
    assert repr(result()) == "Result(60 x 40: 3 objects (2 person, 1 dog))"
    assert repr(result(path="a/1.jpg", num=0)) == "Result(1.jpg, 60 x 40: 0 objects)"
    assert counted(["dog"]) == "1 object (1 dog)"


@EVERY
@NUMBERS
def test_json_has_all_that_was_found(heads, num):
    found = result(num=num, path="1.jpg", **heads)
    read = json.loads(found.to_json())
    assert (read["path"], read["width"], read["height"]) == ("1.jpg", 60, 40)
    assert [row["name"] for row in read["objects"]] == found.class_names
    for row, read_row in enumerate(read["objects"]):
        # Not only near: a float32 comes back from its shortest decimal number.
        assert np.float32(read_row["score"]) == found.scores[row]
        np.testing.assert_array_equal(np.float32(read_row["box"]), found.boxes[row])
        if "masks" in heads:
            mask = decode_segmentation(read_row["mask"], 40, 60)
            np.testing.assert_array_equal(mask, found.masks[row])
        if "keypoints" in heads:
            points = np.float32(read_row["keypoints"])
            np.testing.assert_array_equal(points[:, :2], found.keypoints[row])
            np.testing.assert_array_equal(points[:, 2], found.keypoint_scores[row])


@EVERY
def test_coco_rows_have_the_numbers_of_the_data_set(heads):
    rows = result(**heads).to_coco(139)
    assert [row["category_id"] for row in rows] == [1, 18, 1]
    assert {row["image_id"] for row in rows} == {139}
    assert rows[0]["bbox"] == [1.5, 2, 19.5, 28.25]
    assert ("segmentation" in rows[0]) == ("masks" in heads)
    assert ("keypoints" in rows[0]) == ("keypoints" in heads)


@EVERY
@NUMBERS
def test_pandas_and_supervision_take_it(heads, num):
    found = result(num=num, **heads)
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame) and len(table) == num
    assert [*table.columns] == ["x1", "y1", "x2", "y2", "score", "label", "name"]
    theirs = found.to_supervision()
    assert isinstance(theirs, supervision.Detections) and len(theirs) == num
    np.testing.assert_array_equal(theirs.xyxy, found.boxes)
    assert [*theirs.data["class_name"]] == found.class_names
    assert (theirs.mask is None) == ("masks" not in heads)
    if num:
        zone = supervision.PolygonZone(np.array([[0, 0], [25, 0], [25, 39], [0, 39]]))
        assert zone.trigger(theirs).tolist() == [True, False, True]
        assert table.loc[1, "name"] == "dog" and table.loc[1, "x1"] == 30


@EVERY
@NUMBERS
def test_a_picture_shows_the_objects_on_the_image(heads, num, tmp_path):
    found = result(num=num, **heads)
    picture = found.plot()
    assert picture.shape == IMAGE.shape and picture.dtype == np.uint8
    assert (picture != IMAGE).any() == bool(num)
    found.save(tmp_path / "new" / "1.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "new" / "1.png"), picture)


def test_the_image_is_bytes_of_whatever_was_given(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "1.png")
    for given in (tmp_path / "1.png", IMAGE, Image.fromarray(IMAGE), IMAGE / 255.0):
        np.testing.assert_array_equal(result(given=given).image, IMAGE, strict=True)
    with pytest.raises(ValueError, match="image: the result does not know its image"):
        result(given=None).plot()
    np.testing.assert_array_equal(
        result(given=None).plot(IMAGE), result().plot(), strict=True
    )
    with pytest.raises(ValueError, match="image: 30 x 40 pixels given, .* of 60 x 40"):
        result().plot(IMAGE[:, :30])


@pytest.mark.parametrize("name", ["1.doc", "1"])
def test_a_picture_has_a_known_suffix(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: .* is no kind of picture"):
        result().save(tmp_path / name)


def test_crops_are_the_whole_pixels_of_the_boxes():
    first, second, third = result().crops()
    np.testing.assert_array_equal(first, IMAGE[2:31, 1:21])
    assert second.shape == (34, 28, 3) and third.shape == (8, 8, 3)


def test_without_names_classes_are_numbers():
    found = Result(result().detections, (40, 60))
    assert found.class_names == ["0", "1", "0"]
    assert [row["category_id"] for row in found.to_coco(1)] == [0, 1, 0]
    assert len(found.filter(classes=1)) == 1


def test_the_image_itself_is_not_written_over(tmp_path):
    path = tmp_path / "1.png"
    Image.fromarray(IMAGE).save(path)
    before = path.read_bytes()
    found = replace(result(given=str(path)), path=str(path))
    with pytest.raises(ValueError, match="^path: .* is the image itself: give another"):
        found.save(path)
    assert path.read_bytes() == before
    found.save(tmp_path / "2.png")
    assert (tmp_path / "2.png").exists()
