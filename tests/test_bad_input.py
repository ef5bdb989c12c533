"""Wrong input: one clear line, exit status 2, and nothing is lost."""

import importlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fpn_jax import train
from fpn_jax.data.digits.dataset import write_digits
from tests.support.commands import (
    MINIATURE,
    ROOT,
    command,
    environment,
    training,
    without_privileges,
)

# What is wrong: the arguments (paths are in the directory of the test) and what the one
# line says: what is wrong, and where or what is allowed.
CASES = {
    "misspelt setting": (
        "train miniature.py --model.neck.chanels 3",
        "--model.neck.chanels.* nearest: --model.neck.channels",
    ),
    "word for a number": (
        "train miniature.py --data.batch-size many",
        "--data.batch-size: .*'many'",
    ),
    "unknown choice": (
        "train miniature.py --optimizer.name lion",
        "--optimizer.name: 'lion' given, must be sgd, adamw or muon",
    ),
    "missing value": (
        "train miniature.py --data.batch-size",
        "--data.batch-size: nothing given, must be a whole number",
    ),
    "no experiment": ("train none.py", "experiment: no file 'none.py'"),
    "experiment without config": ("train empty.py", "'empty.py' has no .*get_config"),
    "experiment of another kind": ("train dict.py", "must return a Config, got dict"),
    "experiment with an error": ("train typo.py", "'typo.py': NameError.*'FNP'"),
    "experiment with a misspelt field": (
        "train modle.py",
        "'modle.py': TypeError.*modle",
    ),
    "zero for a count": (
        "train miniature.py --train.log-every 0 DIGITS",
        "train.log_every must be 1 or more, got 0",
    ),
    "optimizer the run was not begun with": (
        "train miniature.py --workdir run --optimizer.name sgd --train.steps 4 DIGITS",
        "'run' was begun with optimizer.name 'adamw', got 'sgd'",
    ),
    "average the run was not begun with": (
        "train miniature.py --workdir run --train.ema-decay 0.9 DIGITS",
        "'run' was begun with train.ema_decay None, got 0.9",
    ),
    "clipping the run was not begun with": (
        "train miniature.py --workdir run --optimizer.clip-norm 1 DIGITS",
        "'run' was begun with optimizer.clip_norm None, got 1.0",
    ),
    "negative learning rate": (
        "train miniature.py --optimizer.learning-rate -1",
        "optimizer.learning_rate must be a finite number, 0 or more, got -1.0",
    ),
    "learning rate that is no number": (
        "train miniature.py --optimizer.learning-rate nan",
        "optimizer.learning_rate must be a finite number, 0 or more, got nan",
    ),
    "negative channels": (
        "train miniature.py --model.neck.channels -4",
        "model.neck.channels must be 1 or more, got -4",
    ),
    "canvas beyond memory": (
        "train miniature.py --data.canvas 320000 320000",
        "out of memory: a step needs .* GB, there are .* --data.batch-size .*canvas",
    ),
    "batch size the run was not begun with": (
        "train miniature.py --workdir run --data.batch-size 16 DIGITS",
        "'run' was begun with data.batch_size 8, got 16",
    ),
    "unknown network": (
        "train miniature.py --model.backbone.depth 51 DIGITS",
        "depth must be one of 18, 34, 50, 101, 152, got 51 .nearest: 50.",
    ),
    "too few anchor sizes": (
        "train miniature.py --model.neck.extra none DIGITS",
        r"anchor_sizes .* levels \[2, 3\]",
    ),
    "batch that devices cannot share": (
        "train miniature.py --data.batch-size 7 DIGITS",
        "data.batch_size must be a multiple of the 8 devices, got 7",
    ),
    "option of an optional head, and no data set": (
        "train mask.py --model.mask-head.num-classes 3 --data.source nowhere",
        "'nowhere' is neither",
    ),
    "digits without what is empty": (
        "train miniature.py --data.skip-empty DIGITS",
        "does not know which images have objects before it reads them",
    ),
    "no data set": ("train miniature.py --data.source nowhere", "'nowhere' is neither"),
    "broken annotations": (
        "train miniature.py --data.source broken",
        "annotations.json",
    ),
    "swapped box": (
        "train miniature.py --data.source swapped",
        "annotations.json.*bbox.*-5",
    ),
    "unknown category": (
        "train miniature.py --data.source strange",
        "annotations.json.*category.*77",
    ),
    "too many corrupt images": (
        "train miniature.py --data.source corrupt --data.max-errors 1",
        "corrupt.*jpg",
    ),
    "best by what is not measured": (
        "train miniature.py --evaluation.best mask/AP DIGITS",
        "evaluation.best must be one of .*'AR@1000', 'loss', got 'mask/AP'",
    ),
    "slice that is none": (
        "train miniature.py --data.train train[: --data.source digits",
        "split: 'train.:' is neither a name nor a slice such as",
    ),
    "misspelt split": (
        "train miniature.py --data.validation vaildation --data.source digits",
        "split must be one of .*nearest: 'validation'",
    ),
    "directory below a file": (
        "train miniature.py --workdir empty.py/run DIGITS",
        "workdir: 'empty.py/run' is below .*empty.py', a file",
    ),
    "file for a directory": (
        "train miniature.py --workdir empty.py DIGITS",
        "workdir: 'empty.py' is a file, must be a directory",
    ),
    "run of another model": (
        "train miniature.py --workdir run --model.neck.channels 4 DIGITS",
        "'run' holds a run of another model: model.neck.channels: 8, got 4; "
        "to go on as it was begun give --workdir alone",
    ),
    "damaged checkpoint": (
        "train miniature.py --workdir damaged --train.steps 4 DIGITS",
        "checkpoint 2 not readable in .*damaged",
    ),
    "weights of another network": (
        "train miniature.py --train.pretrained other.safetensors DIGITS",
        "missing.*conv1.weight.*nearest",
    ),
    "pretrained without a value": (
        "train miniature.py --train.pretrained DIGITS",
        "train.pretrained: no run, file or name of weights given",
    ),
    "no weights": (
        "train miniature.py --train.pretrained none.pth",
        "train.pretrained: no run or file of weights 'none.pth'",
    ),
    "no run": ("evaluate runs/nowhere", "no folder 'runs/nowhere'"),
    "no run or model of a name": (
        "evaluate maskrcnn_resnet50",
        r"no directory 'maskrcnn_resnet50', and no published model "
        r"'maskrcnn_resnet50' \(nearest: 'maskrcnn_resnet50_fpn",
    ),
    "a name that nobody published": (
        "convert fasterrcnn out",
        r"no published model 'fasterrcnn'",
    ),
    "no checkpoint": ("evaluate begun", "no checkpoints in 'begun'"),
    "unknown checkpoint": (
        "evaluate run --checkpoint 9",
        "checkpoint must be one of 'best', 'latest', '2', got '9'",
    ),
    "file of no weights, before the data": (
        "train miniature.py --train.pretrained empty.py --data.source nowhere",
        "train.pretrained: 'empty.py': the suffix of path must be one of '.pth'",
    ),
    "folder of no run for weights": (
        "train miniature.py --train.pretrained corrupt --data.source nowhere",
        "train.pretrained: no config.json in 'corrupt'; no run",
    ),
    "image in place of the run": (
        "predict corrupt/0.jpg run",
        "run: 'corrupt/0.jpg' is a file, not the directory of a run",
    ),
    "file for the pictures": (
        "predict run corrupt/0.jpg --out empty.py",
        "out: 'empty.py' is a file, not a directory",
    ),
    "fewer pictures than none": (
        "doctor nowhere --html page.html --show -1",
        "show must be 0 or more, got -1",
    ),
    "one side of a canvas": (
        "doctor nowhere --canvas 300",
        "--canvas: '300' given, must be 2 whole numbers",
    ),
    "no images": ("predict run", "images: none given"),
    "missing image": ("predict run none.png", "none.png"),
    "folder without images": (
        "predict run run/checkpoints",
        "images: no file in 'run/checkpoints' is an image .*[.]jpg",
    ),
    "address of nobody": (
        "predict run http://127.0.0.1:1/1.jpg",
        "http://127.0.0.1:1/1.jpg: cannot be fetched: ",
    ),
    "pattern without a match": ("predict run none/*.jpg", "'none/.*.jpg': no file"),
    "unknown class": (
        "predict run corrupt/0.jpg --classes zebra",
        "'zebra' is none of",
    ),
    "directory for the boxes": (
        "predict run corrupt/0.jpg --json corrupt",
        "json: 'corrupt' is a directory",
    ),
    "corrupt image": ("predict run corrupt/0.jpg", "corrupt/0.jpg: not a readable"),
    "no directory for the boxes": (
        "predict run corrupt/0.jpg --json none/found.json",
        "json: no directory 'none'",
    ),
    "score out of range": (
        "predict run empty.py --score-threshold 50",
        "score-threshold: 50.0 given, must be 0 … 1",
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Returns a directory with a short run, and everything that can be wrong."""
    place = tmp_path_factory.mktemp("place")
    write_digits(place / "digits", {"train": 8, "validation": 8})
    shutil.copy(MINIATURE, place / "miniature.py")
    shutil.copy(ROOT / "experiments/coco_mask_rcnn.py", place / "mask.py")
    shutil.copy(ROOT / "experiments/recipe.py", place)  # which it imports
    (place / "empty.py").write_text("")
    (place / "dict.py").write_text("def get_config():\n    return {}\n")
    (place / "modle.py").write_text(
        "from fpn_jax.training.config import Config\n"
        "def get_config():\n    return Config(modle=1)\n"
    )
    (place / "typo.py").write_text("neck = FNP()\n")
    done = subprocess.run(
        command(*training(place / "digits", place / "run", "--train.steps", 2)),
        env=environment(place / "cache"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shutil.copytree(place / "run", place / "damaged")
    for path in (place / "damaged/checkpoints/2/state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (place / "begun").mkdir()
    shutil.copy(place / "run/config.json", place / "begun")
    write_coco(place / "swapped", bbox=[10, 10, -5, 8])
    write_coco(place / "strange", category_id=77)
    write_coco(place / "broken")
    (place / "broken/annotations.json").write_text('{"images": [')
    write_coco(place / "corrupt", images=4)
    for number in range(4):
        (place / f"corrupt/{number}.jpg").write_bytes(b"\xff\xd8\xff no image")
    from safetensors.numpy import save_file

    save_file(
        {"conv9.weight": np.ones((2, 2), np.float32)}, place / "other.safetensors"
    )
    return place


def write_coco(directory: Path, *, images: int = 1, **changes) -> None:
    directory.mkdir()
    annotation = {"bbox": [10, 10, 20, 20], "category_id": 1, "iscrowd": 0, "area": 400}
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "height": 64, "width": 64}
            for n in range(images)
        ],
        "annotations": [
            {"id": n + 1, "image_id": n, **annotation, **changes} for n in range(images)
        ],
        "categories": [{"id": 1, "name": "object"}],
    }
    (directory / "annotations.json").write_text(json.dumps(content))
    for number in range(images):
        cv2.imwrite(str(directory / f"{number}.jpg"), np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_gets_one_line_and_status_2(place, case, monkeypatch, capfd):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    words, message = CASES[case]
    given = words.replace("DIGITS", "--data.source digits").split()
    given = [str(place / "digits") if word == "digits" else word for word in given]
    if given[0] == "train" and "--workdir" not in given:
        given += ["--workdir", f"run of {case}"]
    before = contents(place / "run")
    try:
        status = importlib.import_module(f"fpn_jax.{given[0]}").main(given[1:])
    except SystemExit as stop:
        status = stop.code
    said = capfd.readouterr().err
    assert status == 2
    lines = said.splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith(f"fpn-jax {given[0]}: ")
    assert search(message, lines[0])
    assert contents(place / "run") == before
    assert not (place / f"run of {case}").exists()


def search(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text) is not None


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def test_an_unknown_command_is_answered_with_the_nearest(capfd, monkeypatch):
    from fpn_jax.__main__ import main

    monkeypatch.setattr(sys, "argv", ["fpn-jax", "trian"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "nearest: 'train'" in capfd.readouterr().err


def test_a_full_disk_is_one_line_and_the_checkpoint_before_remains(
    place, tmp_path, monkeypatch, capfd
):
    shutil.copytree(place / "run", tmp_path / "run")
    before = contents(tmp_path / "run" / "checkpoints")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    full = shutil.disk_usage(place)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    arguments = training(place / "digits", tmp_path / "run", "--train.steps", 4)
    with pytest.raises(SystemExit) as stop:
        train.main([str(argument) for argument in arguments[1:]])
    said = capfd.readouterr().err
    assert stop.value.code == 2
    assert len(said.splitlines()) == 1
    assert "not saved" in said and "the disk has 0.0 MB left" in said
    assert contents(tmp_path / "run" / "checkpoints") == before


def test_checkpoints_that_cannot_be_written_are_one_line_before_the_first_step(
    place, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    before = contents(run)
    (run / "checkpoints").chmod(0o555)
    done = subprocess.run(
        command(*training(place / "digits", run, "--train.steps", 4)),
        env=environment(place / "cache"),
        capture_output=True,
        text=True,
        preexec_fn=without_privileges,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"fpn-jax train: checkpoints cannot be written in {run / 'checkpoints'}: "
        "Permission denied\n"
    )
    assert contents(run) == before


@pytest.mark.slow
def test_a_save_that_fails_halfway_leaves_the_checkpoint_before_to_continue(
    place, tmp_path
):
    """A limit on the size of files breaks the save; Orbax's threads say so as well."""
    shutil.copytree(place / "run", tmp_path / "run")
    before = contents(tmp_path / "run" / "checkpoints" / "2")
    arguments = training(place / "digits", tmp_path / "run", "--train.steps", 4)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    options = {"env": environment(place / "cache"), "capture_output": True}
    broken = subprocess.run(command(*arguments), **options, text=True, preexec_fn=limit)
    assert broken.returncode == 2, broken.stderr
    assert "fpn-jax train: checkpoint not saved in" in broken.stderr
    assert contents(tmp_path / "run" / "checkpoints" / "2") == before
    done = subprocess.run(command(*arguments), **options, text=True)
    assert done.returncode == 0, done.stderr
    assert "from step 2" in done.stdout
