"""From a folder to a directory of TFDS by the command, and what it refuses."""

import json
import re

import numpy as np
import pytest

from fpn_jax import prepare
from fpn_jax.data.sources import open_source
from tests.support import formats


@pytest.fixture
def coco(tmp_path):
    pairs = formats.miniature(8)
    formats.write_official(tmp_path / "coco", pairs[:6], "train")
    formats.write_official(tmp_path / "coco", pairs[6:], "val")
    return tmp_path / "coco"


def test_the_prepared_directory_takes_the_place_of_the_folder(coco, tmp_path, capsys):
    assert prepare.main([str(coco), str(tmp_path / "out"), "--masks"]) == 0
    assert capsys.readouterr().out == f"8 images are in {tmp_path / 'out'}\n"
    for split, size in {"train": 6, "validation": 2}.items():
        ours, theirs = (
            open_source(str(place), split, masks=True)
            for place in (tmp_path / "out", coco)
        )
        assert len(ours) == len(theirs) == size
        assert ours.categories == theirs.categories
        for one, other in zip(ours, theirs, strict=True):
            for field in ("image", "boxes", "labels", "masks"):
                np.testing.assert_array_equal(
                    getattr(one, field), getattr(other, field)
                )


def test_boxes_that_reach_out_are_cut_for_training_and_whole_for_figures(
    coco, tmp_path
):
    file = coco / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    row = content["annotations"][0]
    image = next(i for i in content["images"] if i["id"] == row["image_id"])
    row["bbox"] = [-20, -0.25, 1000, 30]
    file.write_text(json.dumps(content))
    assert prepare.main([str(coco), str(tmp_path / "out")]) == 0
    source = open_source(str(tmp_path / "out"), "train")
    index = next(i for i in range(6) if source[i].image_id == row["image_id"])
    assert source[index].boxes[0].tolist() == [0, 0, image["width"], 29.75]
    assert source.truth(index).xywh[0].tolist() == row["bbox"]


def test_an_unreadable_image_is_named_and_left_out(coco, tmp_path, capsys):
    broken = next(path for path in (coco / "val2017").iterdir())
    broken.write_bytes(b"broken")
    assert prepare.main([str(coco), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert broken.name in said.err and said.err.count("left out") == 1
    assert said.out == f"7 images are in {tmp_path / 'out'}\n"
    assert len(open_source(str(tmp_path / "out"), "validation")) == 1


def test_a_split_that_would_be_empty_is_refused_and_leaves_nothing(
    coco, tmp_path, capsys
):
    for path in (coco / "val2017").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(SystemExit):
        prepare.main([str(coco), str(tmp_path / "out")])
    message = r"instances_val2017\.json: no image of 2 can be read\n$"
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("coco coco", "out: 'coco' exists already"),
        ("coco none/out", "out: no directory 'none'"),
        ("nowhere out", "data source 'nowhere' is neither"),
        ("coco out --splits test", "split must be one of .*'train2017'"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    coco, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(coco.parent)
    with pytest.raises(SystemExit) as stop:
        prepare.main(words.split())
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert [path.name for path in coco.parent.iterdir()] == ["coco"]
