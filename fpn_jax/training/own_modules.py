"""Modules of the user's that a run needs: neither Python's own nor installed ones."""

import ast
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

_INSTALLED = {"site-packages", "dist-packages"}
# Also where a developer has them elsewhere.
_DEPENDENCIES = {"flax", "jax", "numpy", "optax", __name__.partition(".")[0]}
_SCRIPTS = {"__experiment__", "__main__"}


def needed_modules(tops: Iterable[str], file: Path | None) -> dict[str, ModuleType]:
    """Returns the user's modules of some top names, and all that these import.

    A package is needed with all of its submodules that have been imported. `file` is
    an experiment, whose own imports are needed too.
    """
    needed: dict[str, ModuleType] = {}
    waiting = {*tops, *(_imports(file) if file else ())}
    seen = set()
    while waiting:
        seen.add(top := waiting.pop())
        if not is_own(top):
            continue
        modules = {
            name: module
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] == top and module is not None
        }
        needed |= modules
        for module in modules.values():
            if (source := _file(module)) is not None and source.suffix == ".py":
                waiting |= set(_imports(source)) - seen
    return needed


def copy_modules(modules: dict[str, ModuleType], folder: Path) -> None:
    """Copies modules to where they are found with `folder` on sys.path.

    Raises ValueError for one that is no file.
    """
    for name, module in sorted(modules.items()):
        source = _file(module)
        if source is None:  # a package without a file of its own
            continue
        if not source.is_file():
            raise ValueError(
                f"experiment: the module {name!r} is needed to open the run again, and "
                f"{str(source)!r} is no file that it could keep; install the module"
            )
        copy = folder.joinpath(*name.split("."))
        is_package = "__path__" in vars(module)
        copy_file(source, (copy if is_package else copy.parent) / source.name)


def copy_file(source: Path, copy: Path) -> None:
    """Copies a file, unless it is the copy."""
    if source.resolve() != copy.resolve():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def shadowed_modules(folder: Path) -> list[str]:
    """Returns the user's imported modules that `folder` has others of, by their names.

    Python would not import these others, whatever sys.path says.
    """
    tops = {
        name
        for name, module in list(sys.modules.items())
        if "." not in name and is_own(name) and _has(folder, name, module)
    }
    return [name for name in list(sys.modules) if name.partition(".")[0] in tops]


def is_own(top: str) -> bool:
    """Whether the user, not a package, brought the imported module of this top name."""
    module = sys.modules.get(top)
    if module is None or top in sys.stdlib_module_names | _DEPENDENCIES | _SCRIPTS:
        return False
    places = [_file(module), *_folders(module)]
    return any(places) and not any(
        _INSTALLED & set(place.parts) for place in places if place
    )


def found_in(module: ModuleType) -> Path | None:
    """Returns the directory in which a module or package without a parent lies."""
    if folders := _folders(module):
        return folders[0].resolve().parent
    file = _file(module)
    return None if file is None else file.resolve().parent


def _has(folder: Path, top: str, module: ModuleType) -> bool:
    """Whether a folder has another module of a name than the imported one."""
    if found_in(module) == folder:
        return False
    files = (folder / f"{top}.py", folder / top / "__init__.py")
    as_package = _file(module) is None and (folder / top).is_dir()
    return as_package or any(file.is_file() for file in files)


def _imports(file: Path) -> Iterator[str]:
    """Yields the top names that a file imports; a relative import has its own."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__dict__", {}).get("__file__")
    return Path(file) if isinstance(file, str) else None


def _folders(module: ModuleType) -> list[Path]:
    return [Path(f) for f in getattr(module, "__dict__", {}).get("__path__") or ()]
