"""What the doctor says of a folder of planted boxes."""

import re

import numpy as np
import pytest

from fpn_jax import doctor
from fpn_jax.data.example import Category
from tests.coco_folder import write_coco_folder
from tests.painted_example import painted_example


@pytest.fixture
def folder(tmp_path):
    # In 320 x 320 px: an anchor of 8 px, two of 128 px, a wide box that none covers at
    # half, and a crowd region, which is no object.
    boxes = [[12, 12, 20, 20], [64, 64, 192, 192], [128, 64, 256, 192]]
    boxes += [[0, 300, 320, 310], [0, 0, 320, 320]]
    crowd = np.array([False] * 4 + [True])
    example = painted_example(
        boxes, 320, 320, crowd=crowd, labels=np.zeros(5, np.int32), masks=None
    )
    return write_coco_folder(tmp_path, [example], [Category(1, "thing")])


def rows_of(text, *, start):
    """The cells of the table rows that begin so."""
    lines = [line.strip() for line in text.splitlines()]
    return [re.split(r"\s{2,}", line) for line in lines if line.startswith(start)]


def test_levels_and_misses_of_planted_boxes(folder, capsys):
    assert doctor.main([str(folder)]) == 0
    text = capsys.readouterr().out
    assert "4 boxes in 1 images, on a canvas of 320 x 320 px" in text
    # Level, anchors, boxes, share, sides, missed at 0.5 and at 0.7.
    (finest, better) = rows_of(text, start="P2  ")[:2]
    assert finest == ["P2", "19200", "1", "25.0%", "8 … 8", "0", "0"]
    coarsest = rows_of(text, start="P6")[0]
    assert coarsest[2:4] == ["2", "50.0%"] and coarsest[5:] == ["0", "0"]
    before, after = rows_of(text, start="all")
    assert before == [
        "all",
        "25575",
        "4",
        "100.0%",
        "23 … 128",
        "1 (25.0%)",
        "1 (25.0%)",
    ]
    assert after[:4] == ["all", "25575", "4", "100.0%"]
    assert better[1] == "19200"
    pooled = rows_of(text, start="P3  ")[-1]
    assert "pooled from" in text and pooled[:3] == ["P3", "2", "50.0%"]


def test_a_folder_without_boxes_is_said_to_have_none(tmp_path, capsys):
    empty = painted_example([], 320, 320, masks=None)
    write_coco_folder(tmp_path, [empty], [Category(1, "thing")])
    assert doctor.main([str(tmp_path)]) == 0
    assert "0 boxes in 1 images" in capsys.readouterr().out


def test_what_is_no_data_set_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(tmp_path)])
    assert stop.value.code == 2
    assert "annotations.json" in capsys.readouterr().err
