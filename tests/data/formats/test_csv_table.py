import cv2
import numpy as np
import pytest

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.formats.csv_table import is_csv, open_csv


@pytest.fixture
def write(tmp_path):
    """Writes a table beside one image of 60 x 40."""

    def write(*lines, split="train"):
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
        (tmp_path / f"{split}.csv").write_text("\n".join(lines))
        return tmp_path

    return write


@pytest.mark.parametrize(
    "lines",
    [
        ["a.png,5,6,7,8.5,dog", "a.png,0,0,60,40,ant"],
        ["Label,x_min,ymin,x2,ymax,path", "dog,5,6,7,8.5,a.png", "ant,0,0,60,40,a.png"],
    ],
)
def test_a_table_is_read_by_hand(write, lines):
    write("a.png,1,1,2,2,bee", split="valid")
    source = open_csv(write(*lines), "train")
    assert source[0].boxes.tolist() == [[5, 6, 7, 8.5], [0, 0, 60, 40]]
    assert source.categories == ((0, "ant"), (1, "bee"), (2, "dog"))
    assert source[0].labels.tolist() == [2, 0]


@pytest.mark.parametrize("line", ["a.png,,,,,", "a.png"])
def test_an_image_without_objects_is_a_row(write, line):
    source = open_csv(write(line), "train")
    assert len(source) == 1 and source[0].boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png,5,6,3,8,dog", "x1 is 5 and x2 3, must be the smaller and the larger"),
        ("a.png,5,6,7,8,", "a box without a class"),
        ("a.png,65,6,70,8,dog", "outside of 60 x 40 pixels: x1 65, y1 6, x2 70, y2 8"),
    ],
)
def test_a_wrong_row_is_named_and_leaves_the_others(write, line, message):
    folder = write(line, "a.png,1,2,3,4,dog")
    pattern = rf"^[^\n]*1 problems: line 1 of train.csv \(a.png\): [^\n]*{message}"
    with pytest.raises(ValueError, match=pattern):
        open_csv(folder, "train")
    source = open_csv(folder, "train", strict=False)
    assert len(source.defects) == 1
    assert source[0].boxes.tolist() == [[1, 2, 3, 4]]


def test_a_table_without_rows_is_named(write):
    with pytest.raises(ValueError, match=r"train.csv: no rows$"):
        open_csv(write("file,x1,y1,x2,y2,class"), "train")


def test_other_tables_give_classes_if_they_are_tables_of_boxes(write, caplog):
    write("epoch,loss,x,y,z,time", "1,2,3,4,5,6", split="results")
    write("cat,0", "dog,1", split="classes")
    write("a.png,1,1,2,2,bee", split="valid")
    source = open_csv(write("a.png,1,1,2,2,ant"), "train")
    assert [category.name for category in source.categories] == ["ant", "bee"]
    (note,) = source.defects
    assert note.note and note.place == "results.csv"
    # A run says the same in its log.
    assert "results.csv: no classes are taken from this table" in caplog.text


def test_objects_of_an_image_that_cannot_be_read_are_kept_to_be_missed(write, tmp_path):
    folder = write("a.png,1,1,2,2,ant", "b.png,3,4,7,9,ant", "c.png,0,0,2,2,ant")
    (tmp_path / "b.png").write_bytes(b"none")
    source = open_csv(folder, "train")
    assert source.truth(1).xywh.tolist() == [[3, 4, 4, 5]]
    assert source.truth(2).xywh.tolist() == [[0, 0, 2, 2]]
    with pytest.raises(UnreadableImage, match=r"b\.png: not a readable image \(4 byt"):
        source[1]
    with pytest.raises(UnreadableImage, match=r"c\.png: No such file"):
        source[2]


@pytest.mark.parametrize(
    "name", ["C:\\me\\a.png", "/elsewhere/data/a.png", "./a.png", "a"]
)
def test_a_file_is_found_by_the_end_of_its_path_and_without_its_suffix(write, name):
    source = open_csv(write(f"{name},1,2,3,4,dog"), "train")
    assert source[0].name == "a.png" and source[0].boxes.tolist() == [[1, 2, 3, 4]]


def test_a_table_of_files_that_are_elsewhere_is_named(write):
    folder = write("x/b.png,1,2,3,4,dog", "x/c.png")
    with pytest.raises(ValueError, match="none of its 2 files .*: line 1, x/b.png$"):
        open_csv(folder, "train")


def test_files_of_systems_are_no_tables(write):
    folder = write("a.png,1,2,3,4,dog")
    (folder / "._train.csv").write_bytes(b"\0\5\26\7")
    assert is_csv(folder, "train") and len(open_csv(folder, "train")) == 1
    (folder / "train.csv").unlink()
    assert not is_csv(folder, "train")
