"""Files and folders of many results, read back by what reads them."""

import csv
import json
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.formats.yolo import open_yolo
from fpn_jax.results.coco_file import COCOFile, coco_image_ids
from fpn_jax.results.crops_folder import CropsFolder
from fpn_jax.results.csv_file import CSVFile
from fpn_jax.results.label_studio import LabelStudioFile
from fpn_jax.results.names import OutputNames
from fpn_jax.results.outlines import largest_outline
from fpn_jax.results.yolo_folder import YOLOFolder, yolo_lines
from tests.support.some_result import BOXES, IMAGE, result


def names(*places: str, inputs: tuple[str, ...] = (), out: str = "out") -> list[str]:
    given = OutputNames(Path(out), [Path(path) for path in inputs])
    return [str(given.path(PurePath(place), ".png")) for place in places]


def test_a_picture_is_named_after_its_image_and_lies_in_its_folder():
    assert names("a/1.jpg", "2.final.png") == ["out/a/1.png", "out/2.final.png"]


def test_images_of_one_name_get_a_picture_each():
    assert names("1.png", "1.jpg", "1-2.jpg", "1.webp") == [
        *("out/1.png", "out/1-2.png", "out/1-2-2.png", "out/1-3.png")
    ]


def test_no_picture_takes_the_place_of_an_image():
    inputs = ("a/1.png", "a/../a/1-2.png")
    assert names("1.jpg", inputs=inputs, out="a") == ["a/1-3.png"]


@pytest.mark.parametrize("place", ["../../1.jpg", "/1.jpg", "a/../../1.jpg"])
def test_no_picture_leaves_the_folder(place):
    assert names(place)[0].replace("a/", "") == "out/1.png"


def test_coco_numbers_are_those_of_the_names_or_counted():
    def ids(*places: str) -> list[int]:
        return coco_image_ids([*map(PurePath, places)])

    assert ids("000000000139.jpg", "a/802.jpg") == [139, 802]
    assert ids("139.jpg", "b.jpg") == ids("1.jpg", "a/1.jpg") == [1, 2]


def test_a_coco_file_has_a_row_for_each_object(tmp_path):
    file = COCOFile(tmp_path / "1.json")
    file.add("a/7.jpg", PurePath("7.jpg"), result(masks=True))
    file.add("a/8.jpg", PurePath("8.jpg"), result(num=0, masks=True))
    assert file.close() == f"3 objects in {tmp_path / '1.json'}"
    rows = json.loads((tmp_path / "1.json").read_text())
    assert [row["image_id"] for row in rows] == [7, 7, 7]
    assert rows[1]["image"] == "a/7.jpg" and rows[1]["category"] == "dog"


def test_a_csv_file_has_a_row_for_each_object(tmp_path):
    file = CSVFile(tmp_path / "1.csv")
    file.add('a, "b".jpg', PurePath("b.jpg"), result())
    file.close()
    with (tmp_path / "1.csv").open(encoding="utf-8") as text:
        rows = [*csv.DictReader(text)]
    assert [row["name"] for row in rows] == ["person", "dog", "person"]
    assert rows[0]["image"] == 'a, "b".jpg'
    np.testing.assert_array_equal(np.float32(rows[1]["score"]), np.float32(0.75))
    assert [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")] == [
        *(1.5, 2, 21, 30.25)
    ]


def test_a_yolo_folder_is_a_data_set(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("1.png", "2.png"):
        Image.fromarray(IMAGE).save(tmp_path / "images" / name)
    folder = YOLOFolder(tmp_path / "labels")
    folder.add("1.png", PurePath("1.png"), result())
    folder.add("2.png", PurePath("2.png"), result(num=0))
    assert folder.close() == f"2 label files in {tmp_path / 'labels'}"
    (tmp_path / "data.yaml").write_text(
        "train: images\nval: images\nnames: [person, dog, bottle]\n"
    )
    examples = open_yolo(tmp_path / "data.yaml", "train")
    first, second = (examples[row] for row in range(2))
    np.testing.assert_array_equal(first.labels, [0, 1, 0])
    np.testing.assert_allclose(first.boxes, BOXES, atol=1e-3)
    assert len(second.boxes) == 0


def test_yolo_lines_have_outlines_of_masks_and_keypoints():
    label, *outline = yolo_lines(result(masks=True))[2].split()
    points = np.float64(outline).reshape(-1, 2) * [60, 40]
    assert label == "0" and len(points) == 4
    np.testing.assert_allclose(points.min(0), 0.5, atol=1e-3)
    np.testing.assert_allclose(points.max(0), 7.5, atol=1e-3)
    numbers = np.float64(yolo_lines(result(keypoints=True))[0].split()[1:])
    assert len(numbers) == 4 + 2 * 3 and (numbers[6::3] == 2).all()
    np.testing.assert_allclose(numbers[4:6] * [60, 40], BOXES[0, :2], rtol=1e-5)


def test_a_mask_without_area_has_no_outline():
    mask = np.zeros((5, 5), bool)
    assert largest_outline(mask) is None
    mask[2, 2] = True
    assert largest_outline(mask) is None


def test_crops_lie_by_class(tmp_path):
    folder = CropsFolder(tmp_path)
    folder.add("a/1.jpg", PurePath("1.jpg"), result())
    assert folder.close() == f"3 crops in {tmp_path}"
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg"))
    assert found == ["dog/1.jpg", "person/1-2.jpg", "person/1.jpg"]
    assert Image.open(tmp_path / "dog" / "1.jpg").size == (28, 34)


@pytest.mark.parametrize("heads", [{}, {"masks": True}, {"keypoints": True}])
def test_label_studio_gets_percents(tmp_path, heads):
    file = LabelStudioFile(tmp_path / "1.json", "run")
    file.add("a/1.jpg", PurePath("1.jpg"), result(**heads))
    file.add("a/2.jpg", PurePath("2.jpg"), result(num=0, **heads))
    file.close()
    first, second = json.loads((tmp_path / "1.json").read_text())
    assert first["data"] == {"image": "a/1.jpg"}
    assert second["predictions"] == [{"model_version": "run", "result": []}]
    regions = first["predictions"][0]["result"]
    kinds = {region["type"] for region in regions}
    if "masks" in heads:
        assert kinds == {"polygonlabels"}
        points = np.float64(regions[1]["value"]["points"])
        assert points.min() >= 0 and points.max() <= 100
    else:
        value = regions[0]["value"]
        assert value["x"] == 2.5 and value["y"] == 5  # percents of 60 x 40
        assert value["width"] == pytest.approx(32.5)
        assert value["rectanglelabels"] == ["person"]
        points = {"keypointlabels"} if heads else set()
        assert kinds == {"rectanglelabels"} | points
