import cv2
import numpy as np
import pytest
import yaml

from fpn_jax.data.formats.yolo import open_yolo


@pytest.fixture
def write(tmp_path):
    """Writes one image of 60 x 40 with these lines, and the settings."""

    def write(*lines, **settings):
        for folder in ("images/deep", "labels/deep"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        image = np.zeros((40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images/deep/a.png"), image)
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


@pytest.mark.parametrize("train", ["list.txt", ["list.txt"], "../images"])
def test_images_are_listed_in_all_of_ultralytics_ways(write, tmp_path, train):
    path = write("1 0.5 0.5 0.5 0.25", train=train, names={0: "cat", 1: "dog"})
    (tmp_path / "list.txt").write_text("./images/deep/a.png\n")
    assert open_yolo(path, "train")[0].labels.tolist() == [1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2 0.5 0.5 0.5 0.5"], "line 1 of labels/deep/a.txt .*category_id 2 is not"),
        (["", "1 0.5 0.5"], "line 2 of labels/deep/a.txt .*four finite numbers"),
        (["1 0.5 x 0.5 0.5"], "four finite numbers"),
        (["1 0.5 0.5 -0.5 0.5"], "sizes >= 0"),
        (["1 1.5 0.5 0.5 0.5"], "outside of 60 x 40"),
    ],
)
def test_a_wrong_line_is_named(write, lines, message):
    pattern = rf"^[^\n]*data.yaml, train: 1 problems: [^\n]*{message}[^\n]*$"
    with pytest.raises(ValueError, match=pattern):
        open_yolo(write(*lines), "train")


def test_wrong_settings_are_named(write, tmp_path):
    with pytest.raises(ValueError, match=r"data.yaml: no YOLO data set"):
        open_yolo(write(names=None), "train")
    with pytest.raises(ValueError, match=r"data.yaml: kpt_shape 3 must be \[points"):
        open_yolo(write(kpt_shape=3), "train")
    with pytest.raises(ValueError, match=r"data.yaml: flip_idx None must say for each"):
        open_yolo(write(kpt_shape=[3, 3]), "train")
    with pytest.raises(ValueError, match="split: 'train' asked for, where there are"):
        open_yolo(write(train=None), "train")
    with pytest.raises(ValueError, match=r"nowhere: neither a folder of images nor"):
        open_yolo(write(train="nowhere"), "train")
    (tmp_path / "data.yaml").write_text("names: [")
    with pytest.raises(ValueError, match=r"^[^\n]*data.yaml: [^\n]+$"):
        open_yolo(tmp_path / "data.yaml", "train")
