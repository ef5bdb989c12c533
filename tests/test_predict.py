"""The command `predict`: sources in, files out; test_commands.py has what it finds."""

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fpn_jax import predict
from fpn_jax.inference import load
from fpn_jax.media.video import Video, open_video
from tests.support.random_run import CANVAS, directory_of, picture, two_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return directory_of(two_stage(), tmp_path_factory)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with pictures of three shapes, one of them broken."""
    monkeypatch.chdir(tmp_path)
    for number, (name, size) in enumerate(
        {"a/1.png": (60, 90), "a/b/2.png": (90, 60), "3.png": CANVAS}.items()
    ):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(*size, seed=number)).save(path)
    (tmp_path / "in" / "broken.jpg").write_text("nothing")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "3.txt").write_text("0 0.5 0.5 0.1 0.1")
    return tmp_path


def called(*arguments) -> int:
    return predict.main([*map(str, arguments)])


LOW = ("--score-threshold", "0.01")  # random weights are never sure


def test_each_picture_of_a_folder_is_drawn_and_a_broken_one_named(run, place, capsys):
    assert called(run, "in", *LOW) == 2
    out, err = capsys.readouterr()
    assert err == "fpn-jax predict: in/broken.jpg: not a readable image (7 bytes)\n"
    drawn = sorted(str(path) for path in Path("predictions").rglob("*.png"))
    names = ["predictions/3.png", "predictions/a/1.png", "predictions/a/b/2.png"]
    assert drawn == names
    lines = out.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("3.png", "a/1.png", "a/b/2.png"), strict=True):
        assert line.startswith(f"in/{name}: ") and line.endswith(
            f", predictions/{name}"
        )
    original = np.asarray(Image.open("in/a/b/2.png"))
    assert (np.asarray(Image.open("predictions/a/b/2.png")) != original).any()


def test_all_outputs_hold_the_same_objects(run, place):
    (place / "in" / "broken.jpg").unlink()
    files = ("--json", "f.json", "--csv", "f.csv", "--label-studio", "ls.json")
    folders = ("--yolo", "found", "--crops", "crops", "--no-pictures")
    assert called(run, "in", *files, *folders, *LOW) == 0
    assert not Path("predictions").exists()
    rows = json.loads(Path("f.json").read_text())
    with open("f.csv", encoding="utf-8") as file:
        table = [*csv.DictReader(file)]
    expected = {
        name: load(run, score_threshold=0.01)(f"in/{name}")
        for name in ("3.png", "a/1.png", "a/b/2.png")
    }
    number = sum(map(len, expected.values()))
    assert len(rows) == len(table) == number > 3
    assert len([*Path("crops").rglob("*.jpg")]) == number
    tasks = json.loads(Path("ls.json").read_text())
    assert sum(len(task["predictions"][0]["result"]) for task in tasks) == number
    for image_id, (name, found) in zip((3, 1, 2), expected.items(), strict=True):
        own = [row for row in rows if row["image"] == f"in/{name}"]
        assert {row["image_id"] for row in own} == {image_id}
        np.testing.assert_allclose([row["score"] for row in own], found.scores, 1e-4)
        lines = (place / "found" / name).with_suffix(".txt").read_text().splitlines()
        assert [int(line.split()[0]) for line in lines] == found.labels.tolist()


def test_classes_scores_and_counts_are_limited(run, place, capsys):
    options = ("--json", "f.json", "--no-pictures")
    called(run, "in/3.png", "--classes", "Dog", "--max-detections", "2", *options, *LOW)
    rows = json.loads(Path("f.json").read_text())
    assert [row["category"] for row in rows] == ["dog", "dog"]
    counts = []
    for threshold in (0, 1):
        limits = ("--nms-threshold", threshold, "--max-detections", "60")
        called(run, "in/3.png", *limits, *options, *LOW)
        counts.append(len(json.loads(Path("f.json").read_text())))
    assert counts[0] < counts[1]


def test_a_score_below_the_models_own_threshold_is_had(place, tmp_path_factory):
    strict = two_stage().with_thresholds(score_threshold=0.9)
    run = directory_of(strict, tmp_path_factory)
    assert len(load(run)("in/3.png")) == 0
    called(run, "in/3.png", "--json", "f.json", *LOW)
    rows = json.loads(Path("f.json").read_text())
    assert len(rows) == 9 and max(row["score"] for row in rows) < 0.9


def test_a_video_gives_a_video(run, place, capsys):
    with Video(Path("clip.mp4"), 8) as video:
        for number in range(10):
            video.add(np.roll(picture(64, 96), 4 * number, axis=1))
    assert called(run, "clip.mp4", "--every", "2", "--csv", "f.csv", *LOW) == 0
    assert capsys.readouterr().out.startswith("clip.mp4: 5 frames, ")
    drawn = open_video("predictions/clip.mp4", Path("clip.mp4"))
    assert drawn.total == 5 and drawn.frame_rate == 4
    with open("f.csv", encoding="utf-8") as file:
        names = {row["image"] for row in csv.DictReader(file)}
    assert names <= {f"clip.mp4#{number}" for number in range(0, 10, 2)} and names


def test_no_input_is_overwritten(run, place):
    before = Path("in/3.png").read_bytes()
    with Video(Path("in/clip.mp4"), 8) as video:
        video.add(picture(64, 96))
    clip = Path("in/clip.mp4").read_bytes()
    assert called(run, "in", "--out", "in", *LOW) == 2  # one is broken
    assert Path("in/3.png").read_bytes() == before
    assert Path("in/clip.mp4").read_bytes() == clip
    assert Path("in/3-2.png").exists() and Path("in/clip-2.mp4").exists()


def test_no_input_is_overwritten_by_a_crop_of_it(run, place):
    (place / "in/dog").mkdir()
    Image.fromarray(picture(60, 90)).save("in/dog/3.jpg")
    Path("in/list.txt").write_text("\ufeff3.png\ndog/3.jpg\n", "utf-8")
    before = Path("in/dog/3.jpg").read_bytes()
    called(run, "in/list.txt", "--crops", "in", "--no-pictures", *LOW)
    assert Path("in/dog/3.jpg").read_bytes() == before
    assert len([*Path("in/dog").iterdir()]) > 1
    Path("list.txt").write_text("in/3.png")
    Path("in/list.txt").unlink()
    Image.fromarray(picture(60, 90)).save("in/list.png")
    options = ("--classes", "dog", "--yolo", ".", "--no-pictures")
    with pytest.raises(SystemExit):
        called(run, "list.txt", *options)
    assert Path("list.txt").read_text() == "in/3.png"


def test_the_best_of_the_wanted_classes_are_taken(place, tmp_path_factory):
    run = directory_of(two_stage().with_thresholds(max_detections=60), tmp_path_factory)
    assert load(run, score_threshold=0.01)("in/3.png").class_names[0] == "dog"
    options = ("--json", "f.json", "--no-pictures", "--max-detections", "1")
    assert called(run, "in/3.png", "--classes", "cat", *options, *LOW) == 0
    (row,) = json.loads(Path("f.json").read_text())
    assert row["category"] == "cat"


def test_pictures_of_an_earlier_prediction_are_no_photographs(run, place):
    (place / "in" / "broken.jpg").unlink()
    folders = ("--out", "in/drawn", "--crops", "in/crops")
    for _ in range(2):
        called(run, "in", *folders, "--csv", "f.csv", *LOW)
        with open("f.csv", encoding="utf-8") as file:
            names = {row["image"] for row in csv.DictReader(file)}
        assert names == {"in/3.png", "in/a/1.png", "in/a/b/2.png"}
    drawn = sorted(path.name for path in Path("in/drawn").rglob("*.png"))
    assert drawn == ["1.png", "2.png", "3.png"]


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    run, place, capsys, monkeypatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "labels")
    for options in (("--json", "labels/f.json"), ("--crops", "labels/new/crops")):
        with pytest.raises(SystemExit) as stop:
            called(run, "in/3.png", *options)
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert said.endswith(": 'labels' cannot be written to\n")


def test_a_damaged_video_is_named(run, place, capsys):
    writer = cv2.VideoWriter("a.avi", cv2.VideoWriter_fourcc(*"MJPG"), 8, (96, 64))
    for number in range(40):
        writer.write(np.roll(picture(64, 96), 4 * number, axis=1))
    writer.release()
    data = Path("a.avi").read_bytes()
    Path("a.avi").write_bytes(data[: len(data) // 2])
    assert called(run, "a.avi", "--no-pictures", *LOW) == 2
    said = capsys.readouterr().err
    assert "fpn-jax predict: a.avi: damaged, " in said and " of 40 frames" in said


def test_a_file_gets_the_lines_that_a_terminal_shows_a_bar_beside(run, place):
    command = [sys.executable, "-m", "fpn_jax.predict", str(run), "in", *LOW]
    (place / "in" / "broken.jpg").unlink()
    terminal, end = pty.openpty()
    with open("log.txt", "wb") as log:
        root = str(Path(predict.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": root}
        subprocess.run(command, stdout=log, stderr=end, env=environment, check=True)
    os.close(end)
    os.close(terminal)
    lines = Path("log.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "in/3.png",
        "in/a/1.png",
        "in/a/b/2.png",
    ]


def test_an_interruption_keeps_what_was_found(run, place, monkeypatch):
    add, added = predict.results, []

    def interrupted(*arguments):
        for found in add(*arguments):
            yield found
            added.append(found)
            raise KeyboardInterrupt

    monkeypatch.setattr(predict, "results", interrupted)
    with pytest.raises(SystemExit) as stop:
        called(run, "in", "--json", "f.json", *LOW)
    assert stop.value.code == 130 and len(added) == 1
    assert {row["image"] for row in json.loads(Path("f.json").read_text())} == {
        "in/3.png"
    }


@pytest.mark.parametrize(
    "options, said",
    [
        (["--every", "0"], "every: 0 given"),
        (["--nms-threshold", "2"], "nms-threshold: 2.0 given, must be 0 … 1"),
        (["--max-detections", "0"], "max-detections: 0 given"),
        (["--csv", "none/f.csv"], "csv: no directory 'none'"),
        (["--label-studio", "none/f.json"], "label-studio: no directory 'none'"),
        (["--yolo", "in/3.png"], "yolo: 'in/3.png' is a file, not a directory"),
        (["--crops", "in/3.png"], "crops: 'in/3.png' is a file"),
        (["--classes", "dog", "in/3.png"], "classes: 'in/3.png' is none of"),
        (["--yolo", "labels"], "yolo: 'labels' holds .txt files, which could"),
        (["--classes", "cat", "cow"], "classes: 'cow' is none of the model's 2"),
    ],
)
def test_an_option_that_means_nothing_is_a_line(run, place, capsys, options, said):
    with pytest.raises(SystemExit) as stop:
        called(run, "in/3.png", *options)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"fpn-jax predict: {said}") and err.count("\n") == 1
    assert not out and not Path("predictions").exists()
