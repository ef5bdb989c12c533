"""Experiment files: Python with `get_config() -> Config`, and the modules beside them.

An experiment is loaded as the module `__experiment__`, its directory first on sys.path,
as Python does with a script: modules beside it are found from any working directory,
and before others of their names. A run keeps a copy of the file and of the user's
modules that it needs, wherever they were found.
"""

import contextlib
import importlib
import linecache
import shlex
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

from fpn_jax.training.config import Config
from fpn_jax.training.encoding import EXPERIMENT
from fpn_jax.training.own_modules import (
    copy_file,
    copy_modules,
    found_in,
    is_own,
    needed_modules,
    shadowed_modules,
)

_DATA_SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".zip")
KEPT = "experiment"  # the directory of a run that has the copy

# Files of data sets that say nothing of what is in them.
_ANY_NAME = ("data", "dataset", "annotations", "_annotations.coco")


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

    Modules beside an experiment of another directory are forgotten first, and the
    user's own from elsewhere that have the name of one beside this file.
    """
    file = Path(path).resolve()
    if file.exists() and (file.is_dir() or file.suffix in _DATA_SUFFIXES):
        kind = "a directory" if file.is_dir() else f"a {file.suffix} file"
        raise ValueError(
            f"experiment: {str(path)!r} is {kind}, must be a Python file; data is "
            f"given by --data.source {shlex.quote(str(path))}, a run by --workdir"
        )
    if not file.is_file():
        raise ValueError(f"experiment: no file {str(path)!r}")
    module = _entered(file)
    loader = SourceFileLoader(EXPERIMENT, str(file))
    module.__spec__ = spec_from_loader(EXPERIMENT, loader)
    linecache.checkcache(str(file))
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except Exception as error:
        _forget(file.parent)
        raise _error(path, error) from error
    return module


def load_kept(run: str | Path, name: str | None) -> None:
    """Loads the copy of an experiment that a run keeps.

    Without a name only the modules that the run keeps, if any, are put on the path;
    all others must be installed.
    """
    kept = Path(run).resolve() / KEPT
    if name is not None:
        load_module(kept / Path(name).name)
    elif kept.is_dir():
        _entered(kept / f"{EXPERIMENT}.py")  # there is no such file


@contextlib.contextmanager
def without_bytecode() -> Iterator[None]:
    """Leaves no compiled files beside what is imported: a run is read, not written."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def keep(
    experiment: str | Path | None, run: str | Path, modules: Iterable[str] = ()
) -> str | None:
    """Copies a loaded experiment into a run, with what it needs; gives its name.

    That is what was imported beside it, `modules`, and what these import; installed
    packages are not copied.

    Raises ValueError for a module that cannot be copied.
    """
    kept = Path(run).resolve() / KEPT
    file = None if experiment is None else Path(experiment).resolve()
    tops = {
        name.partition(".")[0] for name in (*modules, *_beside(file and file.parent))
    }
    copy_modules(needed_modules(tops, file), kept)
    if file is None:
        return None
    copy_file(file, kept / file.name)
    return file.name


def is_kept(run: str | Path, name: str) -> bool:
    """Whether a run keeps a copy of what a name is of."""
    kept, top = Path(run) / KEPT, name.partition(".")[0]
    if top == EXPERIMENT:
        return kept.is_dir()
    return (kept / top).is_dir() or (kept / f"{top}.py").is_file()


def loaded_file() -> Path | None:
    """Returns the experiment file that was loaded last in this process."""
    module = sys.modules.get(EXPERIMENT)
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file)


def new_run_directory(experiment: str | Path | None, source: str = "digits") -> Path:
    """Returns a directory that does not exist yet: runs/NAME-1, runs/NAME-2 …

    NAME is the experiment's, or the data set's without an experiment.
    """
    path = Path(experiment or source)
    name = path.stem
    if not experiment and path.suffix and path.stem in _ANY_NAME:  # cats/data.yaml
        name = path.absolute().parent.name
    name, number = name or path.absolute().name or "run", 1
    while (run := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return run


def _entered(file: Path) -> ModuleType:
    """Returns the module of an experiment, empty; its directory is searched first."""
    before, directory = loaded_file(), file.parent
    if before is not None and before.parent != directory:
        _forget(before.parent)
    for name in shadowed_modules(directory):
        del sys.modules[name]
    if before is None or before.parent != directory:
        sys.path.insert(0, str(directory))
    importlib.invalidate_caches()  # the directory may be newer than they are
    module = ModuleType(EXPERIMENT)
    module.__file__ = str(file)
    sys.modules[EXPERIMENT] = module  # dataclasses and pickle look it up
    return module


def _forget(directory: Path) -> None:
    """Takes a loaded experiment back: its directory, and the modules found there."""
    sys.modules.pop(EXPERIMENT, None)
    if str(directory) in sys.path:
        sys.path.remove(str(directory))  # once: the user may have it there too
    for name in _beside(directory):
        del sys.modules[name]


def _beside(directory: Path | None) -> list[str]:
    """Returns the names of the user's modules that were found in a directory."""
    tops = {
        name
        for name, module in list(sys.modules.items())
        if "." not in name and is_own(name) and found_in(module) == directory
    }
    return [name for name in list(sys.modules) if name.partition(".")[0] in tops]


def _error(path: str | Path, error: Exception) -> ValueError:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, ModuleNotFoundError):
        why += f"; modules are found beside the file, in {str(Path(path).parent)!r}"
    return ValueError(f"experiment: {str(path)!r}: {why}")
