"""The doors of the rooms: what they promise, what they give, and what they cost."""

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fpn_jax

PACKAGE = Path(fpn_jax.__path__[0])
DOORS = sorted(PACKAGE.rglob("__init__.py"))
ROOMS = [".".join(door.parent.relative_to(PACKAGE.parent).parts) for door in DOORS]
TESTS = Path(__file__).parent
EXPERIMENTS = [  # the files with `get_config`, not the studies
    TESTS / "support" / "miniature.py",
    *sorted((TESTS.parent / "experiments").glob("coco_*.py")),
    *sorted((TESTS.parent / "experiments").glob("digits_*.py")),
]
LATE_DOORS = [door for door in DOORS if "late_names" in door.read_text()]

HEAVY = {"cv2", "grain", "matplotlib", "orbax", "tensorflow_datasets", "tyro", "torch"}
BENEATH_JAX = {"jax", "flax", "optax", "numpy"}


def each(rooms):
    return pytest.mark.parametrize("room", rooms)


def imported_by(code: str) -> set[str]:
    """Returns the top names of what a fresh Python has imported after `code`."""
    tell = "; import sys; print(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code + tell], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.split()}


def names_by_module(nodes) -> dict[str, set[str]]:
    return {
        node.module: {alias.name for alias in node.names}
        for node in nodes
        if isinstance(node, ast.ImportFrom)
    }


@each(ROOMS)
def test_every_room_states_its_contract_and_its_public_names(room):
    door = importlib.import_module(room)
    assert len(door.__doc__.splitlines()) > 5
    assert door.__all__ and len(set(door.__all__)) == len(door.__all__)


@each(ROOMS)
def test_public_names_can_be_had_and_are_shown(room):
    door = importlib.import_module(room)
    for name in door.__all__:
        assert getattr(door, name) is not None
    assert set(door.__all__) <= set(dir(door))


@each(ROOMS)
def test_public_names_are_documented_by_themselves_or_by_their_room(room):
    door = importlib.import_module(room)
    for name in set(door.__all__) - {"__version__"}:
        value = getattr(door, name)
        documents_itself = inspect.isfunction(value) or inspect.isclass(value)
        words = value.__doc__ or "" if documents_itself else ""
        # A dataclass without a docstring gets its signature for one.
        own = words and not words.startswith(f"{name}(")
        assert own or f"`{name}`" in door.__doc__, name


@pytest.mark.parametrize("door", LATE_DOORS, ids=lambda door: str(door.parent.name))
def test_late_names_are_those_that_type_checkers_see(door):
    body = ast.parse(door.read_text()).body
    seen = names_by_module(next(n for n in body if isinstance(n, ast.If)).body)
    table = next(
        ast.literal_eval(node.value.args[1])
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    )
    assert {module: set(names) for module, names in table.items()} == seen
    public = importlib.import_module(ROOMS[DOORS.index(door)]).__all__
    assert set().union(*seen.values()) == set(public) - {"__version__"}


@pytest.mark.parametrize("door", LATE_DOORS, ids=lambda door: str(door.parent.name))
def test_no_late_name_is_that_of_a_file_or_room_beside_the_door(door):
    # The import of the file would put the module in the place of the name.
    files = {path.stem for path in door.parent.iterdir()}
    assert not files & set(importlib.import_module(ROOMS[DOORS.index(door)]).__all__)


def test_importing_the_package_imports_nothing_else():
    assert imported_by("import fpn_jax") - imported_by("pass") == {"fpn_jax"}


@pytest.mark.parametrize("name", ["load", "FPN", "ResNet"])
def test_the_main_names_are_at_the_door_of_the_package(name):
    assert name in dir(fpn_jax)
    assert getattr(fpn_jax, name) is getattr(
        importlib.import_module(getattr(fpn_jax, name).__module__), name
    )


def test_commands_remain_modules_at_the_door_of_the_package():
    from fpn_jax import train

    assert train.__name__ == "fpn_jax.train" and callable(train.main)


def test_an_unknown_name_is_an_attribute_error_that_names_the_door():
    with pytest.raises(AttributeError, match="'fpn_jax.training'.*'Confg'"):
        importlib.import_module("fpn_jax.training").Confg  # noqa: B018


def test_an_experiment_needs_doors_and_core_dependencies_only():
    experiment = (
        "from fpn_jax.training import Config, DataConfig, OptimizerConfig, TrainConfig;"
        "from fpn_jax.training import EvaluationConfig;"
        "from fpn_jax.backbones import ResNet; from fpn_jax.necks import FPN;"
        "from fpn_jax.detectors import OneStage, ProposalNetwork, TwoStage;"
        "from fpn_jax.heads import BoxHead, RPNHead"
    )
    assert not imported_by(experiment) & HEAVY


@each(["fpn_jax.data", "fpn_jax.data.formats", "fpn_jax.evaluation"])
def test_a_door_of_plain_data_imports_neither_jax_nor_its_formats(room):
    assert not imported_by(f"import {room}") & (HEAVY | BENEATH_JAX)


def test_every_room_can_be_imported_first():
    # In one process, but each as if nothing of the package were there.
    code = (
        "import importlib, sys\n"
        f"for room in {ROOMS}:\n"
        "    for name in [n for n in sys.modules if n.startswith('fpn_jax')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(room)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_experiments_need_doors_only(file):
    imports = names_by_module(ast.walk(ast.parse(file.read_text())))
    ours = {module for module in imports if module.startswith("fpn_jax")}
    assert ours and ours <= set(ROOMS)


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["fpn_jax"]
