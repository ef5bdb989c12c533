"""Boxes lie on the objects of photographs that EXIF turns, in every form."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from fpn_jax import prepare
from fpn_jax.data.example import Turn, UnreadableImage
from fpn_jax.data.sources import open_source
from tests.support.photograph import HEIGHT, SQUARE, WIDTH, is_red, write_photograph

X1, Y1, X2, Y2 = SQUARE
QUARTER_TURNS, OTHERS = (5, 6, 7, 8), (2, 3, 4)


def write_coco(root, orientation, height=HEIGHT, width=WIDTH, box=SQUARE):
    write_photograph(root / "train" / "a.jpg", orientation)
    x1, y1, x2, y2 = box
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": height, "width": width}],
        "categories": [{"id": 1, "name": "red"}],
        "annotations": [
            {
                **{"id": 1, "image_id": 1, "category_id": 1},
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
        ],
    }
    (root / "train" / "annotations.json").write_text(json.dumps(content))


def write_voc(root, orientation, height=HEIGHT, width=WIDTH, box=SQUARE):
    write_photograph(root / "train" / "a.jpg", orientation)
    x1, y1, x2, y2 = box
    (root / "train" / "a.xml").write_text(
        f"<annotation><filename>a.jpg</filename><size><width>{width}</width>"
        f"<height>{height}</height></size><object><name>red</name><bndbox>"
        f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object></annotation>"
    )


def write_csv(root, orientation, height=HEIGHT, width=WIDTH, box=SQUARE):
    write_photograph(root / "a.jpg", orientation)
    cells = ["a.jpg", width, height, "red", *box]
    row = ",".join("" if cell is None else str(cell) for cell in cells)
    header = "filename,Width,Height,class,xmin,ymin,xmax,ymax"
    (root / "train.csv").write_text(f"{header}\n{row}\n")


def write_yolo(root, orientation):
    write_photograph(root / "images" / "train" / "a.jpg", orientation)
    (root / "labels" / "train").mkdir(parents=True)
    x, y = (X1 + X2) / 2 / WIDTH, (Y1 + Y2) / 2 / HEIGHT
    sides = f"{(X2 - X1) / WIDTH} {(Y2 - Y1) / HEIGHT}"
    (root / "labels" / "train" / "a.txt").write_text(f"0 {x} {y} {sides}\n")
    (root / "data.yaml").write_text("train: images/train\nnames: [red]\n")


SIZED = {"coco": write_coco, "voc": write_voc, "csv": write_csv}


def only(root):
    (example,) = open_source(str(root), "train")
    assert len(example.boxes) == 1
    return example


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_of_yolo_are_those_of_the_upright_picture(tmp_path, orientation):
    write_yolo(tmp_path, orientation)
    example = only(tmp_path)
    assert example.image.shape == (HEIGHT, WIDTH, 3)
    assert example.boxes.tolist() == [list(SQUARE)]
    assert is_red(example.image, example.boxes[0]) and example.turn.sure
    source = open_source(str(tmp_path), "train")
    assert source.image_sizes.tolist() == [[HEIGHT, WIDTH]]


@pytest.mark.parametrize("form", SIZED)
@pytest.mark.parametrize("orientation", QUARTER_TURNS)
def test_a_stated_size_says_that_the_upright_picture_was_annotated(
    tmp_path, form, orientation
):
    SIZED[form](tmp_path, orientation)
    example = only(tmp_path)
    assert example.turn == Turn(orientation, applied=True, sure=True)
    assert is_red(example.image, example.boxes[0])
    assert example.image.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("form", SIZED)
def test_a_stated_size_says_that_the_stored_rows_were_annotated(tmp_path, form):
    # Orientation 6 stores the right column first: x is y, and y is 48 - x.
    box = (Y1, WIDTH - X2, Y2, WIDTH - X1)
    SIZED[form](tmp_path, 6, height=WIDTH, width=HEIGHT, box=box)
    example = only(tmp_path)
    assert example.turn == Turn(6, applied=False, sure=True)
    assert example.image.shape == (WIDTH, HEIGHT, 3)
    assert is_red(example.image, example.boxes[0])


@pytest.mark.parametrize("form", SIZED)
@pytest.mark.parametrize("orientation", OTHERS)
def test_where_both_pictures_have_the_size_the_stored_rows_are_taken_in_doubt(
    tmp_path, form, orientation
):
    x1, x2 = (WIDTH - X2, WIDTH - X1) if orientation in (2, 3) else (X1, X2)
    y1, y2 = (HEIGHT - Y2, HEIGHT - Y1) if orientation in (3, 4) else (Y1, Y2)
    SIZED[form](tmp_path, orientation, box=(x1, y1, x2, y2))
    example = only(tmp_path)
    assert example.turn == Turn(orientation, applied=False, sure=False)
    assert is_red(example.image, example.boxes[0])


@pytest.mark.parametrize("form", SIZED)
def test_where_no_size_is_stated_the_stored_rows_are_taken_in_doubt(tmp_path, form):
    box = (Y1, WIDTH - X2, Y2, WIDTH - X1)
    SIZED[form](tmp_path, 6, height=None, width=None, box=box)
    example = only(tmp_path)
    assert example.turn == Turn(6, applied=False, sure=False)
    assert is_red(example.image, example.boxes[0])
    SIZED[form](tmp_path, 1, height=None, width=None)
    assert only(tmp_path).turn == Turn()


def test_a_table_that_states_a_wrong_size_loses_that_image_alone(tmp_path):
    write_csv(tmp_path, 1)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    for name, width in (("b", WIDTH), ("c", WIDTH + 1)):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{name}.jpg")
        lines.append(f"{name}.jpg,{width},{HEIGHT},red,1,1,9,9")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    source = open_source(str(tmp_path), "train")
    assert [len(source[index].boxes) for index in (0, 1)] == [1, 1]
    with pytest.raises(UnreadableImage, match="c.jpg: the file is 48 x 64 .* 49 x 64"):
        source[2]


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("form", ["yolo", "coco"])
def test_a_prepared_directory_turns_photographs_as_its_source_did(
    tmp_path, form, orientation
):
    root = tmp_path / "data"
    {"yolo": write_yolo, "coco": write_coco}[form](root, orientation)
    arguments = [str(root), str(tmp_path / "out"), "--splits", "train"]
    assert prepare.main(arguments) == 0
    source = open_source(str(tmp_path / "out"), "train")
    ours, theirs = source[0], only(root)
    np.testing.assert_array_equal(ours.image, theirs.image)
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    assert ours.turn.applied == theirs.turn.applied
    assert source.image_sizes.tolist() == [[HEIGHT, WIDTH]]


def test_the_turn_travels_to_another_process(tmp_path):
    write_yolo(tmp_path, 6)
    source = pickle.loads(pickle.dumps(open_source(str(tmp_path), "train")))
    assert is_red(source[0].image, source[0].boxes[0])
