"""docs/serving.md holds what can be held to the server."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from fpn_jax.serve import Arguments, bounds_of
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.metrics import new_metrics
from tests.support.serving import engine_of, png, served

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()


def code(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a photograph."""
    (tmp_path / "photo.jpg").write_bytes(png(30, 60))
    monkeypatch.chdir(tmp_path)


def test_the_python_example_runs(here, capsys):
    (text,) = code("python")
    with served(engine_of()) as server:
        names: dict = {}
        exec(text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"), names)
    assert names["found"]["width"] == 60
    assert capsys.readouterr().out == "cat 0.9 [0.0, 0.0, 60.0, 30.0]\n"


def test_the_curl_examples_run(here):
    (text,) = (block for block in code("bash") if "curl" in block)
    with served(engine_of()) as server:
        for line in text.splitlines():
            here_line = line.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
            done = subprocess.run(
                ["bash", "-c", here_line], capture_output=True, check=True, text=True
            )
            assert done.stdout.startswith('{"model": "made-up", "width": 60')


def test_the_limits_are_those_of_the_command():
    shown = re.findall(r"^\| `--([\w-]+)` \| (\d+)", PAGE, re.M)
    defaults = {
        field.name.replace("_", "-"): field.default for field in fields(Arguments)
    }
    assert len(shown) == len(fields(Bounds)) == 5
    assert {name: float(value) for name, value in shown} == {
        name: defaults[name] for name, _ in shown
    }


def test_the_command_and_the_library_have_the_same_limits():
    assert bounds_of(Arguments(Path("run"))) == Bounds()


def test_the_metrics_are_those_of_the_server():
    metrics = new_metrics()
    there = {
        name + "_total" * (family.type == "counter")
        for family in metrics.registry.collect()
        for name in [family.name]
        if name.startswith("fpn_jax")
    }
    assert set(re.findall(r"`(fpn_jax_\w+)`", PAGE)) == there
