"""The data sets on the page `data.md` are read as it says: trees, files, boxes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.sources import open_source
from tests.support.pages import ROOT, blocks, write_files

PAGE = ROOT / "docs" / "data.md"
# What is in bus.jpg, x1, y1, x2, y2, and the classes of the data set.
BUS = (120, 80, 420, 280)
FORMS = {
    "my_coco": ([BUS], ["bus"]),
    "my_yolo": ([(118.4, 81.6, 419.2, 283.2), (480, 204, 544, 372)], ["bus", "person"]),
    "my_voc": ([BUS], ["bus"]),
    "my_csv": ([BUS], ["bus"]),
}


def trees() -> dict[str, list[str]]:
    """Returns the files of each tree on the page, by the name of its folder."""
    drawn = [block.text.split("\n") for block in blocks(PAGE) if not block.title]
    return {
        lines[0].rstrip("/"): [line.strip() for line in lines[1:] if line.strip()]
        for lines in drawn
        if lines[0].endswith("/")
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the data sets, as the trees and the files on the page have them."""
    place = tmp_path_factory.mktemp("place")
    write_files(PAGE, place)
    for folder, files in trees().items():
        for name in files:
            file = place / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".jpg":
                Image.new("RGB", (640, 480), "gray").save(file)
    return place


def test_the_page_has_a_tree_and_an_example_of_every_form():
    titles = {block.title.partition("/")[0] for block in blocks(PAGE) if block.title}
    assert trees().keys() == FORMS.keys() | {"coco"}
    assert titles == FORMS.keys()
    for folder, files in trees().items():
        shown = [b.title for b in blocks(PAGE) if b.title.startswith(f"{folder}/")]
        assert {title.partition("/")[2] for title in shown} <= set(files)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read(name, place):
    boxes, classes = FORMS[name]
    source = open_source(str(place / name), "train")
    assert [category.name for category in source.categories] == classes
    example = source[0]
    np.testing.assert_allclose(example.boxes, boxes, atol=1e-3)
    assert example.image.shape == (480, 640, 3)


def test_coco_as_published_is_read(place):
    content = (place / "my_coco/train/annotations.json").read_text()
    for split in ("train", "val"):
        file = place / "coco/annotations" / f"instances_{split}2017.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        wanted = "bus.jpg" if split == "train" else "street.jpg"
        file.write_text(content.replace("bus.jpg", wanted))
    assert len(open_source(str(place / "coco"), "train")[0].boxes) == 1
    assert len(open_source(str(place / "coco"), "validation")[0].boxes) == 1
