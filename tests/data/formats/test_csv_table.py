import cv2
import numpy as np
import pytest

from fpn_jax.data.formats.csv_table import open_csv


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
    ("lines", "message"),
    [
        (["a.png,5,6,3,8,dog"], r"line 1 of train.csv \(a.png\): bbox .* sizes >= 0"),
        (["file,x1,y1,x2,y2,class", "a.png,,6,3,8,dog"], "line 2 .*four finite"),
        (["a.png,5,6,7,8,dog,9"], "train.csv: line 1 has 7 cells, must have 6"),
        (["file,x1,y1,x2,class"], "train.csv: no column 'y2'"),
    ],
)
def test_a_wrong_row_is_named(write, lines, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        open_csv(write(*lines), "train")


def test_a_file_that_is_no_table_is_named(write):
    folder = write("a.png")
    (folder / "train.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(
        ValueError, match=r"^[^\n]*train.csv: [^\n]*can't decode[^\n]*$"
    ):
        open_csv(folder, "train")
