import copy
import json
import logging

import cv2
import numpy as np
import pytest

from fpn_jax.data.coco import CocoSource
from fpn_jax.data.example import UnreadableImage

# Ids are out of order and have gaps, as in COCO itself.
CONTENT = {
    "images": [
        {"id": 30, "file_name": "a.png", "height": 40, "width": 60},
        {"id": 10, "file_name": "empty.png", "height": 20, "width": 20},
    ],
    "categories": [{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}],
    "annotations": [
        {
            **{"id": 5, "image_id": 30, "category_id": 90, "bbox": [10, 5, 20, 30]},
            **{"area": 333.5, "iscrowd": 0},
        },
        {
            **{"id": 4, "image_id": 30, "category_id": 1, "bbox": [0.5, 0, 5, 4]},
            **{"iscrowd": 1},
        },
    ],
}


def _write(folder, content):
    (folder / "annotations.json").write_text(json.dumps(content))
    for name, shape in {"a.png": (40, 60, 3), "empty.png": (20, 20, 3)}.items():
        cv2.imwrite(str(folder / name), np.full(shape, 7, np.uint8))
    return folder


@pytest.fixture
def folder(tmp_path):
    return _write(tmp_path, CONTENT)


def _with_annotation(**changes):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0].update(changes)
    return content


def test_a_file_is_read_by_hand(folder):
    example = CocoSource(folder)[0]
    assert (example.image_id, example.name) == (30, "a.png")
    assert example.image.shape == (40, 60, 3)
    assert example.boxes.tolist() == [[10, 5, 30, 35], [0.5, 0, 5.5, 4]]
    assert example.labels.tolist() == [1, 0]
    assert example.crowd.tolist() == [False, True]
    assert example.areas.tolist() == [333.5, 20]  # the second has none in the file


def test_labels_follow_the_order_of_category_ids(folder):
    assert CocoSource(folder).categories == ((1, "person"), (90, "brush"))


def test_an_image_without_objects_is_kept(folder):
    source = CocoSource(folder / "annotations.json", images=folder)
    assert len(source) == 2
    assert source[1].boxes.shape == (0, 4)


def test_boxes_that_reach_out_are_cut_with_one_warning(tmp_path, caplog):
    content = _with_annotation(bbox=[-3, 5, 70, 30])
    with caplog.at_level(logging.WARNING):
        source = CocoSource(_write(tmp_path, content))
    assert source[0].boxes[0].tolist() == [0, 5, 60, 35]
    (record,) = caplog.records
    assert "1 boxes reach out" in record.message and "annotation 5" in record.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [30, 5, -20, 30]}, "annotation 5 .a.png.: bbox .* sizes >= 0"),
        ({"bbox": [0, 0, 4]}, "annotation 5 .a.png.: bbox .* four finite numbers"),
        ({"bbox": [0, 0, float("nan"), 4]}, "four finite numbers"),
        ({"bbox": [0, 0, "4", 4]}, "four finite numbers"),
        ({"bbox": None}, "four finite numbers"),
        ({"bbox": [61, 0, 5, 5]}, "annotation 5 .a.png.: bbox .* outside of 60 x 40"),
        ({"bbox": [-9, 0, 5, 5]}, "outside of 60 x 40"),
        ({"category_id": 2}, "annotation 5 .a.png.: category_id 2 is not in categor"),
        ({"image_id": 31}, "annotation 5: image_id 31 is not in images"),
        ({"id": 4}, "id 4 repeated in annotations"),
    ],
)
def test_a_wrong_annotation_is_named_in_one_line(tmp_path, changes, message):
    folder = _write(tmp_path, _with_annotation(**changes))
    pattern = rf"^[^\n]*annotations\.json: 1 problems: [^\n]*{message}[^\n]*$"
    with pytest.raises(ValueError, match=pattern):
        CocoSource(folder)


def test_all_problems_are_counted(tmp_path):
    content = copy.deepcopy(CONTENT)
    bad = {"image_id": 30, "category_id": 1, "bbox": [0, 0, -1, 1]}
    content["annotations"] = [{"id": number, **bad} for number in range(7)]
    with pytest.raises(
        ValueError, match="7 problems: annotation 0 .*annotation 2 .*…$"
    ):
        CocoSource(_write(tmp_path, content))


@pytest.mark.parametrize("part", ["images", "categories", "annotations"])
def test_a_missing_part_or_field_is_named(tmp_path, part):
    content = copy.deepcopy(CONTENT)
    del content[part][1]["id"]
    with pytest.raises(ValueError, match=rf"{part}\[1\] has no 'id'"):
        CocoSource(_write(tmp_path, content))
    del content[part]
    with pytest.raises(ValueError, match=f"no list '{part}'"):
        CocoSource(_write(tmp_path, content))


def test_repeated_images_and_categories_are_named(tmp_path):
    content = copy.deepcopy(CONTENT)
    content["images"].append(content["images"][0])
    content["categories"].append(content["categories"][0])
    with pytest.raises(ValueError, match="id 30 .* images; id 90 .* categories"):
        CocoSource(_write(tmp_path, content))


def test_files_that_are_missing_or_no_json_are_named(folder):
    with pytest.raises(ValueError, match=r"other\.json: No such file"):
        CocoSource(folder / "other.json")
    with pytest.raises(ValueError, match="^images: .*nowhere is not a folder"):
        CocoSource(folder, images=folder / "nowhere")
    (folder / "annotations.json").write_text("{")
    with pytest.raises(ValueError, match=r"^[^\n]*annotations\.json: not JSON[^\n]*$"):
        CocoSource(folder)


def test_an_image_that_is_missing_or_broken_is_unreadable_and_named(folder):
    source = CocoSource(folder)
    (folder / "a.png").write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=r"a\.png: not a readable image"):
        source[0]
    (folder / "a.png").unlink()
    with pytest.raises(UnreadableImage, match=r"a\.png: No such file"):
        source[0]


def test_an_image_of_another_size_than_annotated_is_an_error(folder):
    cv2.imwrite(str(folder / "a.png"), np.zeros((60, 40, 3), np.uint8))
    with pytest.raises(
        ValueError, match=r"a\.png: the file is 40 x 60 .* says 60 x 40"
    ):
        CocoSource(folder)[0]
