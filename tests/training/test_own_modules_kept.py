"""Which modules of the user's a run keeps, and whose are imported by consent."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

from fpn_jax.training.config import Config, OptimizerConfig
from fpn_jax.training.config_file import (
    check_readable,
    check_resumable,
    load_config,
    write_config,
)
from fpn_jax.training.experiment import load_experiment

MODEL = """
import flax.linen as nn
class Tiny(nn.Module):
    width: int = {width}
def falling(steps):
    raise NotImplementedError
"""
EXPERIMENT = """
from fpn_jax.training.config import Config
from {module} import Tiny
def get_config():
    return Config(model=Tiny())
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Leaves neither modules nor paths; returns what forgets the modules so far."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("__experiment__", "own", "pack", "lonely"):
                del sys.modules[name]

    yield forget
    forget()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Returns a directory on sys.path with a package, and an experiment below."""
    write(tmp_path / "lib/pack/__init__.py", "")
    write(tmp_path / "lib/pack/model.py", "from own import WIDTH\n" + tiny("WIDTH"))
    write(tmp_path / "lib/pack/unused.py", "")
    write(tmp_path / "lib/own.py", "WIDTH = 3\n" + tiny(3))
    write(tmp_path / "lib/a/my.py", EXPERIMENT.format(module="pack.model"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tiny(width) -> str:
    return MODEL.format(width=width)


def kept(run: Path) -> set[str]:
    folder = run / "experiment"
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def test_modules_that_were_found_elsewhere_are_kept_as_they_are_imported(place, forget):
    experiment = place / "lib/a/my.py"
    write_config(load_experiment(experiment), place / "run", experiment=experiment)
    files = {"my.py", "own.py", "pack/__init__.py", "pack/model.py"}
    assert kept(place / "run") == files
    forget()
    (place / "lib").rename(place / "away")
    assert load_config(place / "run", trust=True).model.width == 3
    assert kept(place / "run") == files  # nothing compiled beside them


def test_a_config_without_an_experiment_keeps_its_modules(place, forget):
    import own

    write_config(Config(model=own.Tiny()), place / "run")
    assert kept(place / "run") == {"own.py"}
    forget()
    (place / "lib").rename(place / "away")
    with pytest.raises(ValueError, match="own.Tiny, .* trust the copy that the run ke"):
        load_config(place / "run")
    assert load_config(place / "run", trust=True).model.width == 3
    assert "own" in sys.modules


def test_a_module_that_is_no_file_is_refused(place):
    with zipfile.ZipFile(place / "all.zip", "w") as archive:
        archive.writestr("lonely.py", tiny(4))
    sys.path.insert(0, str(place / "all.zip"))
    import lonely

    config = Config(model=lonely.Tiny())
    check_readable(config)
    with pytest.raises(ValueError, match="the module 'lonely' is needed to open"):
        write_config(config, place / "run")


def test_an_installed_module_is_imported_from_where_it_is(place, forget):
    write(place / "site-packages/lonely.py", tiny(4))
    sys.path.insert(0, str(place / "site-packages"))
    import lonely

    write_config(Config(model=lonely.Tiny()), place / "run")
    assert not (place / "run/experiment").exists()
    forget()
    said = "or --trust, which imports lonely from where it is installed$"
    with pytest.raises(ValueError, match=said):
        load_config(place / "run")
    assert "lonely" not in sys.modules
    assert load_config(place / "run", trust=True).model.width == 4


def test_an_experiment_consents_to_what_it_imports_alone(place, forget):
    experiment = place / "lib/a/my.py"
    write_config(load_experiment(experiment), place / "run")
    file = place / "run/config.json"
    tree = json.loads(file.read_text())
    tree["data"]["source"] = {"function": "lonely.run"}
    file.write_text(json.dumps(tree))
    trace = place / "imported"
    write(place / "lib/lonely.py", f"open({str(trace)!r}, 'w')\ndef run(): pass\n")
    forget()
    with pytest.raises(ValueError, match="needs lonely.run, which the experiment '"):
        load_config(place / "run", experiment=experiment)
    with pytest.raises(ValueError, match="was begun with lonely.run, which the config"):
        check_resumable(load_experiment(experiment), place / "run")
    assert not trace.exists()
    load_config(place / "run", experiment=experiment, trust=True)
    assert trace.exists()


def test_the_copy_of_a_run_wins_over_a_module_imported_before(place, forget):
    import own

    write_config(Config(model=own.Tiny()), place / "run")
    forget()
    write(place / "lib/own.py", tiny(5))
    import own as changed

    assert changed.Tiny().width == 5
    assert load_config(place / "run", trust=True).model.width == 3


def test_a_module_beside_an_experiment_wins_as_in_a_script(place):
    import own

    assert own.Tiny().width == 3
    write(place / "lib/a/own.py", tiny(7))
    write(place / "lib/a/json.py", "")  # of Python's own, which stays
    write(place / "lib/a/my.py", EXPERIMENT.format(module="own"))
    assert load_experiment(place / "lib/a/my.py").model.width == 7
    assert sys.modules["json"] is json


def test_an_optimizer_needs_no_consent_where_nothing_is_trained(place, forget):
    import own

    write_config(Config(optimizer=own.falling), place / "run")
    forget()
    config = load_config(place / "run", optimizer=False)
    assert config.optimizer == OptimizerConfig()
    assert "own" not in sys.modules
    with pytest.raises(ValueError, match="needs own.falling"):
        load_config(place / "run")
    assert load_config(place / "run", trust=True).optimizer.__name__ == "falling"
