"""Experiment files: Python with `get_config() -> Config`, and the modules beside them.

An experiment is loaded as the module `__experiment__`, its directory first on sys.path,
as Python does with a script: modules beside it are found from any working directory. A
run keeps a copy of the file and of those modules.
"""

import linecache
import shutil
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

from fpn_jax.training.config import Config
from fpn_jax.training.encoding import EXPERIMENT

KEPT = "experiment"  # the directory of a run that has the copy


def load_experiment(path: str | Path) -> Config:
    """Returns the config that an experiment file makes.

    Raises ValueError for a file that is none, or whose code raises.
    """
    module = load_module(path)
    make = getattr(module, "get_config", None)
    if make is None:
        raise ValueError(f"experiment: {str(path)!r} has no function get_config()")
    try:
        config = make()
    except Exception as error:
        raise _error(path, error) from error
    if not isinstance(config, Config):
        raise ValueError(
            f"experiment: get_config() of {str(path)!r} must return a Config, "
            f"got {type(config).__name__}"
        )
    return config


def load_module(path: str | Path) -> ModuleType:
    """Runs an experiment file as the module `__experiment__`.

    The modules beside an experiment of another directory are forgotten first: theirs
    may have the same names.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"experiment: no file {str(path)!r}")
    before = loaded_file()
    if before is not None and before.parent != file.parent:
        _forget(before.parent)
    if before is None or before.parent != file.parent:
        sys.path.insert(0, str(file.parent))
    module = ModuleType(EXPERIMENT)
    module.__file__ = str(file)
    loader = SourceFileLoader(EXPERIMENT, str(file))
    module.__spec__ = spec_from_loader(EXPERIMENT, loader)
    sys.modules[EXPERIMENT] = module  # dataclasses and pickle look it up
    linecache.checkcache(str(file))
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except Exception as error:
        _forget(file.parent)
        raise _error(path, error) from error
    return module


def load_kept(run: str | Path, name: str | None) -> None:
    """Loads the copy of an experiment that a run keeps; without one, does nothing.

    The classes are those of installed packages then.
    """
    if name is not None:
        load_module(Path(run) / KEPT / Path(name).name)


def keep(experiment: str | Path, run: str | Path) -> str:
    """Copies a loaded experiment and the modules beside it into a run; gives its name.

    Modules of installed packages are not copied.
    """
    file, kept = Path(experiment).resolve(), Path(run).resolve() / KEPT
    if file.parent != kept:
        files = {file} | _files_beside(file.parent)
        for source in files:
            copy = kept / source.relative_to(file.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    return file.name


def loaded_file() -> Path | None:
    """Returns the experiment file that was loaded last in this process."""
    module = sys.modules.get(EXPERIMENT)
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file)


def new_run_directory(experiment: str | Path | None) -> Path:
    """Returns a directory that does not exist yet: runs/NAME-1, runs/NAME-2 …"""
    name = Path(experiment).stem if experiment else "digits"
    number = 1
    while (run := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return run


def _forget(directory: Path) -> None:
    """Takes a loaded experiment back: its directory, and the modules found there."""
    sys.modules.pop(EXPERIMENT, None)
    if str(directory) in sys.path:
        sys.path.remove(str(directory))  # once: the user may have it there too
    for name in _beside(directory):
        del sys.modules[name]


def _files_beside(directory: Path) -> set[Path]:
    files = (
        getattr(sys.modules[name], "__file__", None) for name in _beside(directory)
    )
    paths = {Path(file).resolve() for file in files if file}
    return {path for path in paths if path.is_relative_to(directory)}


def _beside(directory: Path) -> list[str]:
    """Returns the names of imported modules that were found in a directory."""
    ours = (EXPERIMENT, "__main__", __name__.partition(".")[0])
    tops = {
        name
        for name, module in list(sys.modules.items())
        if "." not in name and name not in ours and _found_in(module) == directory
    }
    return [name for name in list(sys.modules) if name.partition(".")[0] in tops]


def _found_in(module: ModuleType) -> Path | None:
    """Returns the directory in which a module or package without a parent lies."""
    names = getattr(module, "__dict__", {})
    file, folders = names.get("__file__"), list(names.get("__path__") or ())
    if folders:
        return Path(folders[0]).resolve().parent
    return Path(file).resolve().parent if isinstance(file, str) else None


def _error(path: str | Path, error: Exception) -> ValueError:
    return ValueError(f"experiment: {str(path)!r}: {type(error).__name__}: {error}")
