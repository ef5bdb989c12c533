"""The commands from training to prediction, over kills and signals."""

import json
import signal
import subprocess
import time
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from fpn_jax.data.digits.dataset import write_digits
from fpn_jax.data.formats.tfds import TfdsSource
from fpn_jax.inference import load
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config_file import load_config
from fpn_jax.training.loop import validation_row
from fpn_jax.training.metrics import read_metrics
from fpn_jax.training.programs import abstract_state
from tests.support.commands import (
    command,
    environment,
    run,
    training,
    without_privileges,
)

METRICS = [
    *("AR@100", "ARs@100", "ARm@100", "ARl@100"),
    *("AR@1000", "ARs@1000", "ARm@1000", "ARl@1000"),
    *("AP", "AP50", "AP75", "APs", "APm", "APl", "loss"),
]

# Long enough to be killed in the middle, with a save at every second step.
LONG = ("--train.steps", 60, "--train.evaluate-every", 30, "--train.keep", 1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("digits") / "1.0.0"
    write_digits(directory, {"train": 40, "validation": 12})
    return directory


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(digits, cache, tmp_path_factory) -> tuple[Path, str]:
    """Returns the directory of a complete run, and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "miniature"
    done = run(*training(digits, workdir), cache=cache)
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


@pytest.fixture(scope="module")
def uninterrupted(digits, cache, tmp_path_factory) -> dict[str, np.ndarray]:
    workdir = tmp_path_factory.mktemp("runs") / "long"
    done = run(*training(digits, workdir, *LONG), cache=cache)
    assert done.returncode == 0, done.stderr
    return final_state(workdir)


def final_state(workdir: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of the last checkpoint by their paths."""
    config = load_config(workdir)
    checkpoints = Checkpoints(workdir, best=config.evaluation.best)
    assert checkpoints.latest_step == config.train.steps
    state, _ = checkpoints.restore(abstract_state(config), config.train.steps)
    state = state.replace(key=jax.random.key_data(state.key))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def assert_same_bits(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for path, array in theirs.items():
        np.testing.assert_array_equal(ours[path], array, err_msg=path)


def test_training_ends_with_average_recall_by_size(trained):
    _, printed = trained
    last = printed.splitlines()[-10:]
    assert any("AR@100 " in line for line in last)
    header = next(line for line in last if "small" in line)
    assert "medium" in header and "large" in header
    assert "the best checkpoint is " in last[-3]
    assert last[-1].startswith("next: fpn-jax predict ")


def test_training_leaves_everything_in_the_run_directory(trained):
    workdir, _ = trained
    rows = read_metrics(workdir)
    validation = [row for row in rows if "AR@100" in row]
    assert [row["step"] for row in validation] == [4, 8]
    assert validation_row(dict.fromkeys(METRICS)).keys() <= validation[-1].keys()
    steps = [row for row in rows if "images_per_second" in row]
    assert [row["step"] for row in steps] == [2, 4, 6, 8]
    assert {"loss", "loss/rpn_objectness", "loss/rpn_box"} <= steps[0].keys()
    assert all(0 <= row["waiting_for_data"] <= 1 for row in steps[1:])
    predictions = json.loads((workdir / "predictions.json").read_text())
    assert {"image_id", "category_id", "bbox", "score"} == predictions[0].keys()
    assert list((workdir / "events").iterdir())
    for name in ("losses", "average_recall", "precision_recall", "samples"):
        assert cv2.imread(str(workdir / "plots" / f"{name}.png")) is not None


def test_evaluate_repeats_the_last_validation_of_training(trained, cache, tmp_path):
    workdir, _ = trained
    path = tmp_path / "metrics.json"
    done = run(
        "evaluate", workdir, "--checkpoint", "latest", "--json", path, cache=cache
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads(path.read_text())
    assert set(METRICS) <= metrics.keys()
    last = read_metrics(workdir)[-1]
    assert (
        validation_row({name: metrics[name] for name in METRICS}).items()
        <= last.items()
    )


def test_evaluate_in_half_precision_is_near_and_not_the_same(trained, cache, tmp_path):
    workdir, _ = trained
    path = tmp_path / "metrics.json"
    options = ("--checkpoint", "latest", "--dtype", "bfloat16", "--json", path)
    done = run("evaluate", workdir, *options, cache=cache)
    assert done.returncode == 0, done.stderr
    exact = read_metrics(workdir)[-1]["validation/loss"]
    # Twenty layers of 8 bits each.
    assert 0 < abs(json.loads(path.read_text())["loss"] / exact - 1) < 0.02


def test_predict_finds_what_evaluation_found(trained, digits, cache, tmp_path):
    workdir, _ = trained
    source = TfdsSource(digits, "validation")
    folder = tmp_path / "photographs"
    folder.mkdir()
    files = [folder / f"{number}.png" for number in range(2)]
    for number, file in enumerate(files):
        cv2.imwrite(str(file), source[number].image[..., ::-1])
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff broken")
    found = tmp_path / "found.json"
    done = run(
        *("predict", workdir, broken, folder),
        *("--json", found, "--out", tmp_path / "out", "--score-threshold", 0),
        *("--checkpoint", "latest"),
        cache=cache,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and str(broken) in done.stderr
    results = json.loads(found.read_text())
    keys = {"image", "image_id", "bbox", "score", "category_id", "category"}
    assert all(result.keys() == keys for result in results)
    evaluated = json.loads((workdir / "predictions.json").read_text())
    for number, file in enumerate(files):
        assert cv2.imread(str(tmp_path / "out" / f"{number}.png")) is not None
        ours = [r for r in results if r["image"] == str(file)]
        theirs = [r for r in evaluated if r["image_id"] == source[number].image_id]
        assert len(ours) == len(theirs) > 10
        for key, tolerance in (("bbox", 1e-2), ("score", 1e-5)):  # batch of 1, not 8
            np.testing.assert_allclose(
                [r[key] for r in ours], [r[key] for r in theirs], atol=tolerance
            )


def test_an_image_of_any_size_gets_boxes_in_its_own_pixels(trained):
    workdir, _ = trained
    predictor = load(workdir)
    image = np.random.default_rng(0).integers(0, 256, (50, 333, 3), np.uint8)
    found = predictor(image)
    assert len(found.boxes) == len(found) > 0
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.float32([333, 50, 333, 50]) + 1e-3).all()
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes[:, 2].max() > 200  # in pixels of the image, not of the canvas


@pytest.mark.slow
def test_a_killed_run_ends_in_the_bits_of_an_uninterrupted_one(
    digits, cache, tmp_path, uninterrupted
):
    arguments = training(digits, tmp_path / "run", *LONG)
    killed_in_a_save = []
    for kill in range(4):
        process = subprocess.Popen(
            command(*arguments), env=environment(cache), stdout=subprocess.PIPE
        )
        wait_for_checkpoint(tmp_path / "run", after=12 * kill)
        if kill:  # the first one between saves or steps, the others in a save
            wait_for_unfinished_save(tmp_path / "run")
        assert process.poll() is None
        process.kill()
        process.communicate()
        killed_in_a_save += unfinished_saves(tmp_path / "run")
    assert killed_in_a_save
    done = run(*arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "continuing" in done.stdout
    assert_same_bits(final_state(tmp_path / "run"), uninterrupted)
    steps = [r["step"] for r in read_metrics(tmp_path / "run") if "loss" in r]
    assert steps == list(range(2, 61, 2))  # each once, whatever was killed


@pytest.mark.slow
def test_ctrl_c_and_sigterm_save_and_say_how_to_go_on(
    digits, cache, tmp_path, uninterrupted
):
    arguments = training(digits, tmp_path / "run", *LONG)
    for number, sent in enumerate((signal.SIGINT, signal.SIGTERM)):
        process = subprocess.Popen(
            command(*arguments),
            env=environment(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_checkpoint(tmp_path / "run", after=20 * number)
        process.send_signal(sent)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 128 + sent
        assert said.count("\n") == 1
        assert f"--workdir {tmp_path / 'run'}" in said and sent.name in said
        step = int(said.split("at step ")[1].split(",")[0])
        assert (tmp_path / "run" / "checkpoints" / str(step)).is_dir()
    done = run(*arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    assert_same_bits(final_state(tmp_path / "run"), uninterrupted)


@pytest.mark.slow
def test_a_directory_that_becomes_read_only_loses_the_steps_since_the_last_save(
    digits, cache, tmp_path, uninterrupted
):
    arguments, checkpoints = training(digits, tmp_path / "run", *LONG), "checkpoints"
    process = subprocess.Popen(
        command(*arguments),
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=without_privileges,
    )
    wait_for_checkpoint(tmp_path / "run", after=0)
    (tmp_path / "run" / checkpoints).chmod(0o555)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said.startswith("fpn-jax train: checkpoint not saved in ")
    assert said.count("\n") == 1 and "Permission denied" in said
    (tmp_path / "run" / checkpoints).chmod(0o755)
    done = run(*arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    assert "continuing" in done.stdout
    assert_same_bits(final_state(tmp_path / "run"), uninterrupted)


def wait_for_checkpoint(workdir: Path, *, after: int) -> None:
    """Returns when there is a complete checkpoint of a step behind `after`."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        names = [path.name for path in (workdir / "checkpoints").glob("*")]
        if any(name.isdigit() and int(name) > after for name in names):
            return
        time.sleep(0.005)
    raise TimeoutError(f"no checkpoint behind step {after} in {workdir}")


def wait_for_unfinished_save(workdir: Path) -> None:
    deadline = time.monotonic() + 60
    while not unfinished_saves(workdir) and time.monotonic() < deadline:
        time.sleep(0.001)


def unfinished_saves(workdir: Path) -> list[Path]:
    """Returns what Orbax has begun to write and not yet renamed."""
    return list((workdir / "checkpoints").glob("*tmp*"))


def started(
    arguments: list[object], cache: Path, announced: list[dict[str, str]]
) -> list[subprocess.Popen]:
    """Returns a process for each of the environments that announce it to the others."""
    return [
        subprocess.Popen(
            command(*arguments),
            env=environment(cache, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for variables in announced
    ]


def by_variables(count: int, port: int) -> list[dict[str, str]]:
    return [
        {
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(count),
            "JAX_PROCESS_ID": str(number),
        }
        for number in range(count)
    ]


def by_slurm(count: int, job: int) -> list[dict[str, str]]:
    # JAX makes the coordinator's port of the last twelve bits of the job's number.
    job_variables = {"SLURM_JOB_ID": str(job), "SLURM_STEP_NODELIST": "127.0.0.1"}
    job_variables |= {"SLURM_NTASKS": str(count), "SLURM_LOCALID": "0"}
    return [job_variables | {"SLURM_PROCID": str(number)} for number in range(count)]


@pytest.mark.slow
def test_two_processes_train_to_the_parameters_of_one(digits, cache, tmp_path, trained):
    arguments = training(digits, tmp_path / "run")
    processes = started(arguments, cache, by_variables(2, port=21612))
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert "AR@100" in printed[0]
    assert "AR@100" not in printed[1]
    together, alone = final_state(tmp_path / "run"), final_state(trained[0])
    assert together.keys() == alone.keys()
    for path, array in alone.items():
        if "params" in path or "batch_stats" in path:
            np.testing.assert_allclose(together[path], array, atol=1e-5, err_msg=path)
    metrics = [read_metrics(w)[-1] for w in (tmp_path / "run", trained[0])]
    assert metrics[0]["validation/loss"] == pytest.approx(
        metrics[1]["validation/loss"], rel=1e-3
    )


@pytest.mark.slow
def test_evaluation_by_one_two_and_four_processes_is_the_same(
    trained, cache, tmp_path_factory, tmp_path
):
    data = tmp_path_factory.mktemp("thirteen") / "1.0.0"
    write_digits(data, {"train": 1, "validation": 13})  # no number divides them
    metrics = []
    for count in (1, 2, 4):
        path = tmp_path / f"{count}.json"
        arguments = ["evaluate", trained[0], "--data", data, "--json", path]
        announced = by_slurm(count, job=1700 + count)
        processes = started([*arguments, "--distributed"], cache, announced)
        printed = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * count, printed
        assert ["13 images" in text for text in printed] == [True] + [False] * (
            count - 1
        )
        metrics.append(json.loads(path.read_text()))
    for other in metrics[1:]:
        assert other.keys() == metrics[0].keys()
        for name, value in metrics[0].items():
            # A loss is a mean over each process's images first: other sums.
            tolerance = {"rel": 1e-5} if "loss" in name else {"abs": 1e-9}
            assert other[name] == pytest.approx(value, **tolerance), name


def test_processes_that_nobody_announced_are_one_line(digits, cache, tmp_path):
    done = run(*training(digits, tmp_path / "run", "--distributed"), cache=cache)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no TPU pod, Slurm" in done.stderr
