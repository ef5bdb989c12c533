"""What the doctor says of a folder of planted boxes."""

import json
import re
import shutil
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest

from fpn_jax import doctor
from fpn_jax.data.example import Category
from fpn_jax.examination import rehearsal
from fpn_jax.examination.tables import defect_list
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.training.config import Config
from fpn_jax.training.config_file import write_config
from fpn_jax.zoo.digits import digits_one_stage
from tests.support.coco_folder import write_coco_folder
from tests.support.defective import plant_defects, write_clean
from tests.support.painted_example import painted_example
from tests.support.photograph import write_photograph


@pytest.fixture
def folder(tmp_path):
    # In 320 x 320 px: an anchor of 8 px, two of 128 px, a wide box that none covers at
    # half, and a crowd region, which is no object.
    boxes = [[12, 12, 20, 20], [64, 64, 192, 192], [128, 64, 256, 192]]
    boxes += [[0, 300, 320, 310], [0, 0, 320, 319]]
    crowd = np.array([False] * 4 + [True])
    example = painted_example(
        boxes, 320, 320, crowd=crowd, labels=np.zeros(5, np.int32), masks=None
    )
    return write_coco_folder(tmp_path, [example], [Category(1, "thing")])


def rows_of(text, *, start):
    """The cells of the table rows that begin so."""
    lines = [line.strip() for line in text.splitlines()]
    return [re.split(r"\s{2,}", line) for line in lines if line.startswith(start)]


@pytest.mark.parametrize(
    "words, splits, command",
    [
        ("photos", ["train", "val"], "fasterrcnn_resnet50_fpn --data.source photos"),
        (
            "photos --masks",
            ["train"],
            "maskrcnn_resnet50_fpn --data.source photos --data.validation train",
        ),
        (
            "photos --keypoints",
            ["train2017", "val2017"],
            "keypointrcnn_resnet50_fpn --data.source photos --data.train train2017 "
            "--data.validation val2017",
        ),
    ],
)
def test_the_command_that_trains_the_data(words, splits, command):
    source, *flags = words.split()
    given = doctor.Arguments(
        source, masks="--masks" in flags, keypoints="--keypoints" in flags
    )
    model = command.split()[0]
    assert doctor.training_command(given, splits) == (
        f"fpn-jax train --model {model} --train.pretrained {command}"
    )


def test_levels_and_misses_of_planted_boxes(folder, capsys):
    assert doctor.main([str(folder)]) == 0
    text = capsys.readouterr().out
    assert "4 boxes in 1 images, on a canvas of 320 x 320 px" in text
    assert text.splitlines()[-1].endswith(
        f"--data.source {folder} --data.validation train"
    )
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
    assert after == ["all", "25575", "4", "100.0%", "23 … 128", "0 (0.0%)", "0 (0.0%)"]
    assert "anchors that suit these boxes: sizes (8" in text
    assert better[1] == "19200"
    pooled = rows_of(text, start="P3  ")[-1]
    assert "pooled from" in text and pooled[:3] == ["P3", "2", "50.0%"]


def test_a_folder_without_boxes_is_said_to_have_none(tmp_path, capsys):
    empty = painted_example([], 320, 320, masks=None)
    write_coco_folder(tmp_path, [empty], [Category(1, "thing")])
    assert doctor.main([str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "0 boxes in 1 images" in text
    assert "images: none has an object that is no crowd" in text
    assert "class without objects" not in text  # said by the line above


@pytest.fixture
def brief():
    """The doctor without its tables of boxes, which take seconds."""
    with mock.patch.object(doctor, "_print_boxes"):
        yield


@pytest.mark.usefixtures("brief")
def test_classes_that_no_image_has_are_a_note(folder, capsys):
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    content["categories"].append({"id": 2, "name": "unseen"})
    file.write_text(json.dumps(content))
    assert doctor.main([str(folder)]) == 0
    text = capsys.readouterr().out
    assert "no defects found\n1 note\n  class without objects, train: 1" in text


@pytest.mark.usefixtures("brief")
def test_what_only_a_batch_refuses_is_a_defect(folder, capsys):
    with mock.patch.object(
        rehearsal, "training_batches", side_effect=ValueError("id: too large")
    ):
        assert doctor.main([str(folder)]) == 1
    text = capsys.readouterr().out
    assert "1 defect\n  batch refused, train: 1\n    training: id: too large" in text


@pytest.mark.usefixtures("brief")
def test_rounding_at_the_border_is_no_defect(tmp_path, capsys):
    # To the right border of 1000 x 667 px, with six digits: it ends 0.0003 px outside.
    numbers = (637 + 1000) / 2000, (180 + 667) / 1334, 363 / 1000, 487 / 667
    label = "0 " + " ".join(f"{number:.6f}" for number in numbers) + "\n"
    for folder, shape in (("images", (667, 1000)), ("labels", None)):
        (tmp_path / folder / "train").mkdir(parents=True)
        if shape:
            pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
            cv2.imwrite(str(tmp_path / folder / "train" / "a.jpg"), pixels)
        else:
            (tmp_path / folder / "train" / "a.txt").write_text(label)
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cat]\n")
    assert doctor.main([str(tmp_path), "--splits", "train"]) == 0
    assert "no defects found" in capsys.readouterr().out


def test_what_is_no_data_set_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(tmp_path)])
    assert stop.value.code == 2
    assert "annotations.json" in capsys.readouterr().err


def test_upright_images_are_fitted_into_a_lying_canvas(tmp_path, capsys):
    # 640 px become 320: the box is an anchor of 128 px around (64, 256), on the canvas.
    boxes = [[0, 384, 256, 640]]
    example = painted_example(boxes, 640, 320, labels=np.zeros(1, np.int32), masks=None)
    write_coco_folder(tmp_path, [example], [Category(1, "thing")])
    assert doctor.main([str(tmp_path), "--canvas", "320", "512"]) == 0
    row = rows_of(capsys.readouterr().out, start="all")[0]
    assert row[4:] == ["128 … 128", "0 (0.0%)", "0 (0.0%)"]


def test_what_is_left_out_is_counted(folder, capsys):
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    content["annotations"][3]["bbox"][3] = 0
    content["images"].append(content["images"][0] | {"id": 9, "file_name": "no.png"})
    file.write_text(json.dumps(content))
    (folder / "no.png").write_bytes(b"no picture")
    assert doctor.main([str(folder)]) == 1
    text = capsys.readouterr().out
    assert "4 boxes in 1 images" in text and "image unreadable" in text
    assert "1 boxes without an area are left out below" in text
    assert rows_of(text, start="all")[0][2] == "3"


def own_optimizer(steps):
    raise NotImplementedError


def test_a_detector_without_anchors_is_said_to_have_none(folder, tmp_path, capsys):
    model = digits_one_stage(FCOSHead(10))
    # An optimizer of the user's own needs no consent here.
    write_config(Config(model=model, optimizer=own_optimizer), tmp_path / "run")
    assert doctor.main([str(folder), "--run", str(tmp_path / "run")]) == 0
    text = capsys.readouterr().out
    assert "the detector has no anchors" in text and "pooled" not in text


def test_a_canvas_that_no_pyramid_divides_is_one_line(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(folder), "--canvas", "100", "320"])
    assert stop.value.code == 2
    assert "canvas must have sides that are multiples of 32" in capsys.readouterr().err


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean")
    write_clean(root)
    return root


def test_nothing_is_wrong_with_a_clean_data_set(clean, tmp_path, capsys):
    page = tmp_path / "page.html"
    options = ["--masks", "--html", str(page), "--show", "3"]
    assert doctor.main([str(clean), *options]) == 0
    text = capsys.readouterr().out
    assert "no defects found" in text and "validation" in text
    assert "no defects found" in page.read_text()
    titles = re.findall("<h2>(.*?)</h2>", page.read_text())
    # Objects of a single pixel are worth a look, and no defect.
    assert titles[:2] == ["box of one pixel", "flip"] and titles[-1] == "copy-paste"
    assert len(titles) == 9 and page.read_text().count("<figure>") == 6 + 8 * 3
    assert re.search(r"notes\n  box of one pixel, train: \d", text)


def test_a_broken_split_is_not_taken_for_one_that_is_not_there(clean, tmp_path, capsys):
    root = shutil.copytree(clean, tmp_path / "data")
    (root / "validation" / "annotations.json").write_text('{"images": [')
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(root)])
    assert stop.value.code == 2
    assert "not JSON" in capsys.readouterr().err
    shutil.rmtree(root / "validation")
    assert doctor.main([str(root)]) == 0
    assert "no defects found" in capsys.readouterr().out


def test_classes_of_several_splits_are_counted_by_their_names(tmp_path, capsys):
    for split, names in (("train", "ab"), ("validation", "bc")):
        (tmp_path / split).mkdir()
        example = painted_example(
            [[9, 9, 99, 99], [9, 9, 60, 60]], 200, 200, masks=None
        )
        categories = [Category(number, name) for number, name in enumerate(names)]
        write_coco_folder(tmp_path / split, [example], categories)
    assert doctor.main([str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "2 differ, the first: 'a' (id 0) in one split, 'b' (id 0)" in text
    assert "image of both splits, validation: 1" in text
    counts = [row[:3] for name in "abc" for row in rows_of(text, start=f"{name}  ")]
    assert counts == [["a", "1", "0"], ["b", "1", "1"], ["c", "0", "1"]]


def test_pictures_need_a_page(clean, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(clean), "--show", "3"])
    assert stop.value.code == 2
    assert "give --html" in capsys.readouterr().err


def test_every_planted_defect_is_found_and_nothing_else(clean, tmp_path, capsys):
    root = shutil.copytree(clean, tmp_path / "data")
    planted = plant_defects(root)
    assert len(planted) >= 30
    page = tmp_path / "page.html"
    options = ["--masks", "--html", str(page), "--show", "1"]
    with mock.patch.object(doctor, "defect_list", wraps=defect_list) as table:
        status = doctor.main([str(root), *options])
    defects, notes = (call.args[0] for call in table.call_args_list)
    ghost = ("train", "class without objects", "class 'ghost' (id 99)")
    found = {(split, one.kind, _where(one)) for split, one in defects}
    assert found == planted - {ghost} and len(defects) == len(found)
    found = {(split, one.kind, _where(one)) for split, one in notes}
    assert {one for one in found if one[1] != "box of one pixel"} == {ghost}
    assert status == 1
    text = capsys.readouterr().out
    assert f"{len(planted) - 1} defects" in text
    for _, kind, _ in planted:
        assert kind in text
    assert page.read_text().count("<figure>") >= 15


def _where(defect):
    """The file of a defect, or its place where it has none."""
    if defect.kind in ("image unreadable", "image unlike its rows"):
        return Path(defect.reason.split(":")[0]).name
    return defect.file or defect.place


def test_a_canvas_that_lying_images_fill_more_is_named(tmp_path, capsys):
    example = painted_example(
        [[9, 9, 99, 99]], 480, 640, labels=np.zeros(1, np.int32), masks=None
    )
    write_coco_folder(tmp_path, [example], [Category(1, "thing")])
    assert doctor.main([str(tmp_path)]) == 0
    # 480 x 640 becomes 240 x 320 there, and 264 x 352 here.
    text = capsys.readouterr().out
    assert "images fill 75% of the canvas; 288 x 352 px: 92%" in text


def test_a_split_that_is_asked_for_must_be_there(clean, capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main([str(clean), "--splits", "train", "test"])
    assert stop.value.code == 2
    assert "test" in capsys.readouterr().err


def test_photographs_that_exif_turns_are_counted_where_no_size_decides(
    tmp_path, capsys
):
    rows = []
    for number, orientation in enumerate((6, 1, 8, 3)):
        write_photograph(tmp_path / f"{number}.jpg", orientation)
        rows.append(f"{number}.jpg,1,1,9,{9 + number},red\n")
    (tmp_path / "train.csv").write_text("".join(rows))
    assert doctor.main([str(tmp_path), "--splits", "train"]) == 0
    text = capsys.readouterr().out
    assert "3 notes" in text and "EXIF turn in doubt, train: 3" in text
    assert "(0.jpg)" in text and "(2.jpg)" in text and "(3.jpg)" in text


def test_twelve_bits_in_a_file_of_sixteen_are_worth_a_word(tmp_path, capsys):
    levels = np.arange(0, 4000, dtype=np.uint16).reshape(40, 100)  # of 4096
    cv2.imwrite(str(tmp_path / "a.png"), levels)
    (tmp_path / "train.csv").write_text("a.png,1,1,9,9,thing\n")
    assert doctor.main([str(tmp_path), "--splits", "train"]) == 1
    assert "its largest value is 15 of 255" in capsys.readouterr().out
