"""Loading a run and detecting needs nothing but the core dependencies."""

import re
import subprocess
import sys
import tomllib
from os import environ
from pathlib import Path

import pytest

from fpn_jax.__main__ import COMMANDS
from fpn_jax.parity.live_torchvision import import_torchvision
from tests.support.commands import environment

torch, torchvision = import_torchvision()

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "support" / "core_alone.py"
# Import names that differ from the package's; Flax brings rich and PyYAML, Orbax etils.
IMPORTED = {
    "opencv_python_headless": "cv2",
    "pillow": "PIL",
    "scikit_learn": "sklearn",
} | dict.fromkeys(("pyyaml", "rich", "etils", "fpn_jax", "ipykernel"), "")


def beyond_the_core() -> set[str]:
    """Returns the import names of what the extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [w for kind in ("train", "smoke", "test") for w in extras(project, kind)]
    return {IMPORTED.get(name, name) for name in wanted} - {""} | {"tensorflow"}


def extras(project: dict, kind: str) -> list[str]:
    packages = project["optional-dependencies"][kind]
    names = [re.match(r"[\w.-]+", package)[0] for package in packages]
    return [name.replace("-", "_") for name in names]


def test_the_core_alone_converts_loads_and_detects(tmp_path):
    names = beyond_the_core()
    assert {"torch", "cv2", "PIL", "tyro", "tensorflow_datasets"} <= names
    file = tmp_path / "model.pth"
    build = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    model = build(weights=None, weights_backbone=None)
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=False)
    blocked = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({sorted(names)!r}));"
        f"sys.argv = {[str(SCRIPT), str(tmp_path), str(file)]!r};"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked],
        env=environment(tmp_path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "detections by the core dependencies alone" in done.stdout
    assert "image files need the package 'cv2': pip install 'fpn-jax[train]'" in (
        done.stdout
    )


@pytest.mark.parametrize("module", ["", *(f".{name}" for name in COMMANDS)])
def test_a_command_without_its_packages_is_a_line(module):
    blocked = without_tyro(f"fpn_jax{module}", "train")
    assert blocked.returncode == 2
    said = "fpn-jax: commands need the package 'tyro': pip install 'fpn-jax[train]'"
    assert blocked.stderr.splitlines() == [said]


def test_the_overview_needs_no_package():
    shown = without_tyro("fpn_jax", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")


def without_tyro(module: str, argument: str) -> subprocess.CompletedProcess:
    """Runs `python -m MODULE ARGUMENT` where tyro is not installed."""
    script = (
        f"import runpy, sys; sys.modules['tyro'] = None; sys.argv[1:] = [{argument!r}];"
        f"runpy.run_module({module!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
