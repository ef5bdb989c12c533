"""The preflight command, as a user runs it."""

import json
import subprocess
import sys
from importlib.util import find_spec
from os import environ
from pathlib import Path

import pytest

from tests.support import chip_step, step_memory
from tests.support.commands import MINIATURE, run


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_memory_of_this_machine(cache, tmp_path):
    report = tmp_path / "report.json"
    done = run(
        *("preflight", MINIATURE, "--topology", "cpu", "--data.batch-size", 4),
        *("--json", report, "--train.steps-per-call", 3),
        cache=cache,
    )
    assert done.returncode == 0, done.stderr
    assert "train.steps_per_call is 3: one step is shown" in done.stdout
    assert "cpu: 1 device, batches of 4 on a canvas of 96x96" in done.stdout
    found = json.loads(report.read_text())
    assert found["fits"] and found["programs"] == 2
    assert found["training_step"]["memory"]["total"] > 1e6
    assert found["hours"] is None


def test_the_batch_that_auto_stands_for(cache, tmp_path):
    report = tmp_path / "report.json"
    done = run(
        *("preflight", MINIATURE, "--topology", "cpu", "--data.batch-size", "auto"),
        *("--json", report),
        cache=cache,
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "batches of 64 images: a step needs" in said
    assert "cpu: 1 device, batches of 64 on a canvas of 96x96" in said
    assert json.loads(report.read_text())["batch_size"] == 64


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_told_is_what_a_step_takes():
    done = subprocess.run(
        [sys.executable, "-m", step_memory.__name__],
        cwd=Path(__file__).parents[1],
        env=environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told, taken = map(int, done.stdout.split())
    # XLA's threads have working memory of their own, which the compiler leaves out.
    assert told == pytest.approx(taken, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--topology", "v5"],
            "topology must be one of 'cpu', 'v5e', 'v5p', 'v6e', got 'v5'",
        ),
        (["--topology", "v5e"], "has no grid of chips; v5e:2x2 is four of them"),
        (["--topology", "cpu", "--data.canvas", "65", "64"], "multiples of 32"),
        (["--topology=cpu", "--train.step", "5"], "--train.steps"),
        (
            ["--topology", "v5e:4x4", "--data.batch-size", "16"],
            "evaluation.batch_size must be a multiple of the 16 devices, got 8",
        ),
        (
            ["--topology", "v5e:4x4", "--data.batch-size", "auto"],
            "evaluation.batch_size must be a multiple of the 16 devices, got 8",
        ),
        (
            ["--topology=cpu", "--data.batch-size=auto", "--data.canvas", "65", "64"],
            "multiples of 32",
        ),
        (["no_such.py", "--topology", "cpu"], "experiment: no file 'no_such.py'"),
    ],
)
def test_wrong_input_is_one_line(cache, arguments, words):
    done = run("preflight", *arguments, cache=cache)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(find_spec("libtpu") is not None, reason="libtpu is installed")
def test_without_the_compiler_of_a_tpu_it_says_how_to_get_it(cache):
    done = run("preflight", MINIATURE, "--topology", "v5e:2x2", cache=cache)
    assert done.returncode == 2
    assert "pip install 'fpn-jax[tpu]'" in done.stderr


@pytest.mark.tpu
def test_the_default_job_compiles_for_a_tpu():
    pytest.importorskip("libtpu")
    done = subprocess.run(
        [sys.executable, "-m", chip_step.__name__],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=840,
    )
    assert done.returncode == 0, done.stderr
    step = json.loads(done.stdout.splitlines()[-1])
    # Seconds tell of the machine: of one program, 61 to 331 on two cores, by the day.
    # What a change of ours can make longer is the program: 35,250, libtpu 0.0.50.
    assert step["num_instructions"] < 45_000
    assert 0 < step["seconds"] < 0.05  # 0.014
    assert step["memory"]["working"] < 1e9  # 0.46
