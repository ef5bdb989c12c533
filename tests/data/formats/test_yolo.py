import logging
import shutil

import cv2
import numpy as np
import pytest
import yaml

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.formats.yolo import is_yolo, open_yolo


@pytest.fixture
def write(tmp_path):
    """Writes one image of 60 x 40 with these lines, and the settings."""

    def write(*lines, image="images/deep/a.png", **settings):
        for folder in ("images/deep", "labels/deep"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / image), np.zeros((40, 60, 3), np.uint8))
        (tmp_path / "labels/deep/a.txt").write_text("\n".join(lines))
        settings = {"train": "images", "names": ["cat", "dog"], **settings}
        (tmp_path / "data.yaml").write_text(yaml.safe_dump(settings))
        return tmp_path / "data.yaml"

    return write


def test_a_file_is_read_by_hand(write):
    source = open_yolo(write("1 0.5 0.5 0.5 0.25", "", "0 0.1 0.1 0.2 0.2"), "train")
    boxes = [[15, 15, 45, 25], [0, 0, 12, 8]]
    np.testing.assert_allclose(source[0].boxes, boxes, atol=1e-5)
    assert source[0].labels.tolist() == [1, 0]
    assert source.categories == ((0, "cat"), (1, "dog"))
    assert source[0].name == "images/deep/a.png"


def test_polygons_give_boxes_and_masks(write):
    path = write("1 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75")
    example = open_yolo(path, "train", masks=True)[0]
    np.testing.assert_allclose(example.boxes, [[15, 10, 30, 30]])
    assert example.masks[0, 10:30, 15:30].all() and example.masks.sum() == 15 * 20


@pytest.mark.parametrize(
    ("per_point", "points"),
    [(3, "0.5 0.5 2 0.25 0.5 1 0 0 0"), (2, "0.5 0.5 0.25 0.5 0 0")],
)
def test_keypoints_by_hand(write, per_point, points):
    path = write(
        f"0 0.5 0.5 1 1 {points}", kpt_shape=[3, per_point], flip_idx=[0, 2, 1]
    )
    source = open_yolo(path, "train")
    seen = 1 if per_point == 3 else 2
    assert source[0].keypoints[0].tolist() == [[30, 20, 2], [15, 20, seen], [0, 0, 0]]
    assert source.keypoint_spec.flip == (0, 2, 1)


@pytest.mark.parametrize("train", ["list.txt", ["list.txt"], "../images", ".\\images"])
def test_images_are_listed_in_all_of_ultralytics_ways(write, tmp_path, train):
    path = write("1 0.5 0.5 0.5 0.25", train=train, names={0: "cat", 1: "dog"})
    (tmp_path / "list.txt").write_text("./images/deep/a.png\n")
    assert open_yolo(path, "train")[0].labels.tolist() == [1]


def test_labels_are_found_beside_a_path_that_ends_in_images(write, tmp_path):
    path = write("1 0.5 0.5 0.5 0.25", path=str(tmp_path / "images"), train="deep")
    source = open_yolo(path, "train")
    assert source[0].labels.tolist() == [1] and source[0].name == "deep/a.png"


@pytest.mark.parametrize("key", ["validation", "valid", "val"])
@pytest.mark.parametrize("asked", ["validation", "val"])
def test_the_second_split_has_three_names(write, key, asked):
    path = write("1 0.5 0.5 0.5 0.25", **{key: "images"})
    assert open_yolo(path, asked)[0].labels.tolist() == [1]


@pytest.mark.parametrize("name", ["data.yml", "dataset.yaml"])
def test_a_folder_may_call_its_file_otherwise(write, tmp_path, name):
    write("1 0.5 0.5 0.5 0.25").rename(tmp_path / name)
    assert is_yolo(tmp_path, "train") and len(open_yolo(tmp_path, "train")) == 1


def test_images_of_one_stem_share_their_labels(write):
    write("1 0.5 0.5 0.5 0.25", image="images/deep/a.jpg")
    source = open_yolo(write("1 0.5 0.5 0.5 0.25"), "train")
    assert [one.name for one in source] == ["images/deep/a.jpg", "images/deep/a.png"]
    assert [one.labels.tolist() for one in source] == [[1], [1]]
    assert [one.image_id for one in source] == [1, 2]


def test_labels_have_marks_and_line_ends_of_windows(write, tmp_path):
    path = write()
    labels = tmp_path / "labels/deep/a.txt"
    labels.write_bytes(b"\xef\xbb\xbf1 0.5 0.5 0.5 0.25\r\n")
    assert open_yolo(path, "train")[0].labels.tolist() == [1]
    labels.write_bytes(b"1 0.5 0.5 0.5 0.25\n\xe9")
    with pytest.raises(ValueError, match=r"labels/deep/a.txt \(.*: line 2 is no UTF-8"):
        open_yolo(path, "train")


def test_a_data_set_without_any_labels_is_warned_of(write, tmp_path, caplog):
    path = write()
    with caplog.at_level(logging.WARNING):
        open_yolo(path, "train")
    assert not caplog.records  # an empty file says that there is no object
    (tmp_path / "labels/deep/a.txt").unlink()
    with caplog.at_level(logging.WARNING):
        open_yolo(path, "train")
    (record,) = caplog.records
    assert "images: none of 1 has a file of labels" in record.message
    assert record.message.endswith("labels/deep/a.txt")
    (note,) = open_yolo(path, "train", strict=False).defects
    assert note.note and str(note) in record.message


def test_labels_are_found_in_both_forms_of_an_accent(write, tmp_path):
    path = write("0 0.5 0.5 0.5 0.5", image="images/deep/caf\u00e9.png")
    labels = tmp_path / "labels/deep"
    (labels / "a.txt").rename(labels / "cafe\u0301.txt")
    assert len(open_yolo(path, "train")[0].boxes) == 1


def test_labels_that_cannot_be_read_are_a_defect_of_that_image(write, tmp_path):
    path = write()
    (tmp_path / "labels/deep/a.txt").unlink()
    (tmp_path / "labels/deep/a.txt").mkdir()
    (defect,) = open_yolo(path, "train", strict=False).defects
    assert str(defect) == "labels/deep/a.txt (images/deep/a.png): Is a directory"
    with pytest.raises(ValueError, match="1 problems: labels/deep/a.txt .*Is a direct"):
        open_yolo(path, "train")


def test_a_box_without_a_polygon_has_no_mask(write):
    path = write("0 0.5 0.5 0.5 0.5")
    with pytest.raises(ValueError, match="line 1 of .*no segmentation or polygon, whi"):
        open_yolo(path, "train", masks=True)


def test_keypoints_out_of_the_image_by_rounding_are_at_its_border(write):
    points = "1.009 0.5 2 0.5 -0.01 1 1.02 0.5 2"
    path = write(f"0 0.5 0.5 1 1 {points}", kpt_shape=[3, 3], flip_idx=[0, 1, 2])
    (example,) = open_yolo(path, "train")
    np.testing.assert_allclose(
        example.keypoints[0], [[60, 20, 2], [30, 0, 1], [61.2, 20, 2]], atol=1e-5
    )


def test_objects_of_an_image_without_a_size_are_not_counted_and_that_is_said(
    write, tmp_path
):
    path = write("0 0.5 0.5 0.5 0.5")
    (tmp_path / "images/deep/b.png").write_bytes(b"none")
    (tmp_path / "images/deep/a.png").rename(tmp_path / "images/deep/c.png")
    shutil.copy(tmp_path / "images/deep/b.png", tmp_path / "images/deep/a.png")
    source = open_yolo(path, "train")
    (note,) = source.defects  # b has no labels, and c none of its own
    assert note.note and note.reason.endswith("the first is images/deep/a.png")
    assert note.reason.startswith("the objects of 1 have no size in pixels")
    with pytest.raises(UnreadableImage, match=r"a\.png: not a readable image \(4 byt"):
        source[0]


def test_objects_of_an_image_that_is_cut_off_are_kept_to_be_missed(write, tmp_path):
    path = write("0 0.5 0.5 0.5 0.5")
    whole = (tmp_path / "images/deep/a.png").read_bytes()
    (tmp_path / "images/deep/a.png").write_bytes(whole[:60])
    source = open_yolo(path, "train")
    assert source.truth(0).xywh.tolist() == [[15, 10, 30, 20]]
    with pytest.raises(UnreadableImage, match=r"a\.png: not a readable image \(60 by"):
        source[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["2 0.5 0.5 0.5 0.5"],
            "line 1 of labels/deep/a.txt .*class 2 is not in names",
        ),
        (["", "1 0.5 0.5"], "line 2 of labels/deep/a.txt .*3 numbers, must be 5"),
        (["1,0.5,0.5,0.5,0.5"], "'1,0.5,0.5,0.5,0.5' must be numbers between blanks"),
    ],
)
def test_a_wrong_line_is_named(write, lines, message):
    pattern = rf"^[^\n]*data.yaml, train: 1 problems: [^\n]*{message}[^\n]*$"
    with pytest.raises(ValueError, match=pattern):
        open_yolo(write(*lines), "train")


def test_the_other_lines_are_kept_where_defects_are_listed(write):
    path = write("5 0.5 0.5 0.5 0.5", "1 0.5 0.5 0.5 0.5")
    source = open_yolo(path, "train", strict=False)
    (defect,) = source.defects
    assert defect.place == "line 1 of labels/deep/a.txt"
    assert defect.file == "images/deep/a.png"
    assert source[0].labels.tolist() == [1]


def test_splits_without_images_are_named(write, tmp_path):
    with pytest.raises(
        ValueError, match=r"data.yaml: has no split 'train', nor another"
    ):
        open_yolo(write(train=None), "train")
    with pytest.raises(ValueError, match=r"nowhere: neither a folder of images nor"):
        open_yolo(write(train="nowhere"), "train")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.svg").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"train: no images there \(.*1 files are left"
    ):
        open_yolo(write(train="other"), "train")
