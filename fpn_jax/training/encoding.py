"""Values of a config as JSON and back: numbers, dataclasses, modules, functions.

    JSON                                           value
    number, string, true, null                     itself
    […]                                            a tuple
    {"class": "module.Name", "field": …}           a dataclass or a Linen module
    {"function": "module.name"}                    a function or a class, as it is
    {"partial": "module.name", "arguments": […], "keywords": {…}}
    {"enum": "module.Name", "member": "NAME"}
    {"list": […]}, {"dict": {…}}                   a list, a dict with string keys

What has a name is written by its name: it must be at the top of a module. A field
without one, such as `he_normal()`, is left out where it is the default of its class.
Reading imports the module that a name is of, so whoever reads asks for `foreign_names`
first.
"""

import dataclasses
import enum
import functools
import importlib
import inspect
import math
import sys
from collections.abc import Iterator
from typing import Any

import flax.linen as nn

EXPERIMENT = "__experiment__"
"""The module that an experiment file is loaded as."""

_PACKAGE = __name__.partition(".")[0]
# Where the functions of dependencies are public: their private homes move.
_PUBLIC = ("jax.nn", "jax.numpy", "jax.lax", "flax.linen", "optax", "numpy")
_NAMED = ("class", "function", "partial", "enum")  # "class" first


def encode(value: Any, path: str = "config") -> Any:
    """Returns a value as what JSON has.

    Raises ValueError, which begins with `path` and the fields that lead to it, where a
    part of the value cannot be written, or be found again by its name.
    """
    if isinstance(value, enum.Enum):
        return {"enum": _name_of(type(value), path), "member": value.name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"class": _name_of(type(value), path), **_fields(value, path)}
    if isinstance(value, tuple) and type(value) is tuple:
        return [encode(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, list) and type(value) is list:
        return {"list": encode(tuple(value), path)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {k: encode(v, f"{path}[{k!r}]") for k, v in value.items()}}
    if isinstance(value, functools.partial):
        return {
            "partial": _name_of(value.func, path),
            "arguments": encode(value.args, path),
            "keywords": encode(value.keywords, path)["dict"],
        }
    if callable(value):
        return {"function": _name_of(value, path)}
    raise ValueError(
        f"{path}: a value of type {type(value).__name__} cannot be written to "
        "config.json; numbers, strings, tuples, dicts, dataclasses, modules and "
        "functions of a module can"
    )


def decode(tree: Any) -> Any:
    """Returns the value that `encode` wrote; imports every module that it names."""
    if isinstance(tree, list):
        return tuple(map(decode, tree))
    if not isinstance(tree, dict):
        return tree
    if "class" in tree:
        return _decode_dataclass(tree)
    if "dict" in tree:
        return {key: decode(item) for key, item in tree["dict"].items()}
    if "list" in tree:
        return list(decode(tree["list"]))
    if "function" in tree:
        return _found(tree["function"])
    if "enum" in tree:
        return _found(tree["enum"])[tree["member"]]
    if "partial" in tree:
        keywords = {key: decode(item) for key, item in tree["keywords"].items()}
        function = _found(tree["partial"])
        return functools.partial(function, *decode(tree["arguments"]), **keywords)
    raise ValueError(f"expected one of the keys 'class', 'dict' …, got {list(tree)}")


def foreign_names(tree: Any) -> tuple[str, ...]:
    """Returns the names in a tree whose modules are not of this package.

    A function of a dependency is not foreign where it is public, such as "jax.nn.relu".
    A partial always is: it would call what it names with arguments out of the file.
    """
    return tuple(sorted(set(_foreign(tree))))


def field_names(cls: type) -> tuple[str, ...]:
    """Returns the fields that make a value of a dataclass; a module has two more."""
    flax = ("parent", "name") if issubclass(cls, nn.Module) else ()
    names = (field.name for field in dataclasses.fields(cls) if field.init)
    return tuple(name for name in names if name not in flax)


def difference(
    old: Any, new: Any, path: str = "config", *, between: str = " comes back as"
) -> str | None:
    """Returns the first place where two trees differ, in words; None if nowhere."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        pairs = [(old[key], new[key], _below(path, key)) for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [
            (*items, f"{path}[{i}]")
            for i, items in enumerate(zip(old, new, strict=True))
        ]
    else:
        return None if _same(old, new) else f"{path}: {old!r}{between} {new!r}"
    found = (difference(*pair, between=between) for pair in pairs)
    return next(filter(None, found), None)


def _fields(value: Any, path: str) -> dict[str, Any]:
    """Returns the fields of a dataclass; without a default that cannot be written."""
    defaults = {field.name: field.default for field in dataclasses.fields(value)}
    fields = {}
    for name in field_names(type(value)):
        item = getattr(value, name)
        try:
            fields[name] = encode(item, _below(path, name))
        except ValueError:
            if item is not defaults[name]:
                raise
    return fields


def _decode_dataclass(tree: dict[str, Any]) -> Any:
    cls = _found(tree["class"])
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        raise ValueError(f"class {tree['class']!r} is not a config or a module")
    fields = {key: decode(item) for key, item in tree.items() if key != "class"}
    try:
        return cls(**fields)
    except TypeError as error:
        raise ValueError(f"class {tree['class']!r}: {error}") from None


def _foreign(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        # A class may have fields that are called "function" or "dict".
        kind = next((kind for kind in _NAMED if kind in tree), None)
        if kind is not None and _is_foreign(kind, str(tree[kind])):
            yield str(tree[kind])
        if kind is None and isinstance(tree.get("dict"), dict):
            tree = tree["dict"]
        tree = list(tree.values())
    for item in tree if isinstance(tree, list) else ():
        yield from _foreign(item)


def _is_foreign(kind: str, name: str) -> bool:
    module = name.rpartition(".")[0]
    of_package = module.partition(".")[0] == _PACKAGE
    return kind == "partial" or not (
        of_package or (kind == "function" and module in _PUBLIC)
    )


def _name_of(value: Any, path: str) -> str:
    """Returns "module.name", by which the value is found again.

    Raises ValueError where it is not.
    """
    name, module = (getattr(value, n, None) for n in ("__qualname__", "__module__"))
    for public in _PUBLIC:
        home = sys.modules.get(public)
        if name and home and getattr(home, name, None) is value:
            return f"{public}.{name}"
    if not name or not module:
        why = f"a value of type {type(value).__name__} has no name to be found by"
    elif "<lambda>" in name:
        why = "a lambda has no name to be found by"
    elif "<locals>" in name:
        why = f"{name.rpartition('.')[2]} is defined inside of a function"
    elif "." in name:
        why = f"{name.rpartition('.')[2]} is defined inside of a class"
    elif module == "__main__":
        why = f"{name} is of the script that runs, which cannot be imported"
    elif _replaced(value, module):
        kind = "experiment" if module == EXPERIMENT else f"module {module!r}"
        raise ValueError(
            f"{path}: another {kind} was loaded since that of {name}; load that one "
            "again, and make the config of it"
        )
    elif not _can_be_imported(module):
        why = f"the module of {name}, {module!r}, cannot be imported again"
    elif getattr(sys.modules.get(module), name, None) is not value:
        why = f"it is not what {module}.{name} is"
    else:
        return f"{module}.{name}"
    raise ValueError(
        f"{path}: {why}; the run could not be opened again: put it at the top of a "
        "module, such as the experiment file or one beside it"
    )


def _replaced(value: Any, module: str) -> bool:
    """Whether a class or function is of a module whose name another has by now."""
    function = value.__init__ if isinstance(value, type) else value
    home = getattr(inspect.unwrap(function), "__globals__", {})
    now = getattr(sys.modules.get(module), "__dict__", None)
    return home.get("__name__") == module and home is not now


def _can_be_imported(module: str) -> bool:
    """Whether another process finds the module: `sys.modules` holds made up ones."""
    if module == EXPERIMENT:
        return True  # from the file that the run keeps
    top = sys.modules.get(module.partition(".")[0])
    spec = getattr(top, "__spec__", None)
    if spec is None:
        return False
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return any(find and find(spec.name, None) for find in finders)


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module may be a user's, and raise anything
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{name!r} cannot be imported: {why}") from None


def _below(path: str, name: str) -> str:
    return name if path == "config" else f"{path}.{name}"


def _same(old: Any, new: Any) -> bool:
    both_nan = all(isinstance(x, float) and math.isnan(x) for x in (old, new))
    return both_nan or old == new
