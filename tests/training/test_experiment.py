"""Experiment files as modules, and the modules beside them."""

import pickle
import sys
from pathlib import Path

import pytest

from fpn_jax.training.config import Config
from fpn_jax.training.config_file import check_readable, load_config, write_config
from fpn_jax.training.experiment import (
    keep,
    load_experiment,
    load_module,
    loaded_file,
)

EXPERIMENT = """
import dataclasses
import flax.linen as nn
from beside import WIDTH

@dataclasses.dataclass(frozen=True)
class Size:
    width: "int" = WIDTH

class Tiny(nn.Module):
    size: Size = Size()

def get_config():
    from fpn_jax.training.config import Config
    return Config(model=Tiny())
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Returns a function that writes an experiment into a directory of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name: str, width: int) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "beside.py").write_text(f"WIDTH = {width}\n")
        (folder / "my.py").write_text(EXPERIMENT)
        return folder / "my.py"

    yield write
    for module in ("__experiment__", "beside"):
        sys.modules.pop(module, None)


def test_an_experiment_is_a_module_that_dataclasses_and_pickle_find(write):
    model = load_experiment(write("a", 3)).model
    assert type(model).__module__ == "__experiment__"
    assert pickle.loads(pickle.dumps(model.size)) == model.size
    assert loaded_file().name == "my.py"


def test_a_module_beside_it_is_found_from_any_directory(write, tmp_path, monkeypatch):
    path = write("a", 3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_experiment(Path("../a/my.py")).model.size.width == 3
    assert sys.path[0] == str(path.parent)  # for what is imported later


def test_two_experiments_get_the_modules_beside_themselves(write):
    first, second = write("a", 3), write("b", 4)
    assert load_experiment(first).model.size.width == 3
    assert load_experiment(second).model.size.width == 4
    assert str(first.parent) not in sys.path
    assert load_experiment(first).model.size.width == 3


def test_a_config_of_the_experiment_before_is_told(write):
    config = load_experiment(write("a", 3))
    load_experiment(write("b", 4))
    with pytest.raises(ValueError, match="^model: another experiment was loaded since"):
        check_readable(config)


def test_a_path_of_the_users_stays_where_it_is(write):
    first, second = write("a", 3), write("b", 4)
    sys.path.append(str(first.parent))
    load_experiment(first)
    assert load_experiment(second).model.size.width == 4
    assert sys.path[-1] == str(first.parent)


def test_two_experiments_of_a_directory_share_the_modules_beside_them(write):
    path = write("a", 3)
    (path.parent / "other.py").write_text(EXPERIMENT)
    load_experiment(path)
    beside = sys.modules["beside"]
    load_experiment(path.parent / "other.py")
    assert sys.modules["beside"] is beside
    assert sys.path.count(str(path.parent)) == 1


def test_an_experiment_that_fails_leaves_nothing(write):
    path = write("a", 3)
    path.write_text("import beside\nraise KeyError(3)\n")
    before = list(sys.path)
    with pytest.raises(ValueError, match="my.py': KeyError: 3"):
        load_experiment(path)
    assert sys.path == before
    assert not sys.modules.keys() & {"beside", "__experiment__"}


def test_a_change_of_the_file_is_read(write):
    path = write("a", 3)
    path.write_text("VALUE = 1\n")
    assert load_module(path).VALUE == 1
    path.write_text("VALUE = 2\n")
    assert load_module(path).VALUE == 2


def test_what_is_kept_is_the_file_and_what_it_imported_beside_it(write, tmp_path):
    path = write("a", 3)
    package = path.parent / "parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "neck.py").write_text("")
    (path.parent / "unused.py").write_text("")
    path.write_text("import numpy, parts.neck\n" + EXPERIMENT)
    load_module(path)
    assert keep(path, tmp_path / "run") == "my.py"
    kept = tmp_path / "run" / "experiment"
    assert {str(p.relative_to(kept)) for p in kept.rglob("*.py")} == {
        *("my.py", "beside.py", "parts/__init__.py", "parts/neck.py"),
    }
    assert (kept / "my.py").read_text() == path.read_text()


def test_a_config_with_classes_of_an_experiment_keeps_it(write, tmp_path):
    config = load_experiment(write("a", 3))
    write_config(config, tmp_path / "run")
    assert load_config(tmp_path / "run", trust=True).model.size.width == 3
    # Another experiment with a module of the same name comes in between.
    load_experiment(write("b", 4))
    found = load_config(tmp_path / "run", trust=True)
    assert found.model.size.width == 3
    write_config(found, tmp_path / "run")  # a copy onto itself
    with pytest.raises(ValueError, match="Size of my.py, which is not of fpn_jax"):
        load_config(tmp_path / "run")


def test_a_run_that_needs_no_consent_keeps_an_experiment_that_is_given(write, tmp_path):
    path = write("a", 3)
    write_config(Config(), tmp_path / "run", experiment=path)
    assert (tmp_path / "run/experiment/my.py").is_file()
    assert load_config(tmp_path / "run") == Config()
    write_config(Config(), tmp_path / "run")
    assert '"experiment": "my.py"' in (tmp_path / "run/config.json").read_text()


def test_an_experiment_without_the_class_is_told(write, tmp_path):
    path = write("a", 3)
    write_config(load_experiment(path), tmp_path / "run")
    path.write_text(EXPERIMENT.replace("Tiny", "Large"))
    with pytest.raises(ValueError, match="'__experiment__.Tiny' cannot be imported"):
        load_config(tmp_path / "run", experiment=path)


@pytest.mark.parametrize(
    ("name", "kind"), [("cats", "a directory"), ("data.yaml", "a .yaml file")]
)
def test_data_in_place_of_an_experiment_is_told_with_its_option(name, kind, tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "data.yaml").write_text("names: [cat]")
    with pytest.raises(ValueError) as error:
        load_experiment(tmp_path / name)
    assert f"is {kind}, must be a Python file; data is given" in str(error.value)
    assert f"--data.source {tmp_path / name}," in str(error.value)
