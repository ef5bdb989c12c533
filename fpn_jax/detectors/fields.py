"""Fields of a detector and of the submodules that it is made of."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import flax.linen as nn
import jax

Model = TypeVar("Model", bound=nn.Module)


def with_field(module: nn.Module, name: str, value: Any) -> nn.Module:
    """Returns the module with `name` set in it and in every submodule that has it.

    `axis_name` for batch norm under pmap, `dtype` for another precision.
    """
    changes = {
        field: jax.tree.map(
            lambda x: with_field(x, name, value) if _is_module(x) else x,
            holder,
            is_leaf=_is_module,
        )
        for field, holder in _holders(module)
    }
    if name in _names(module):
        changes[name] = value
    return module.clone(**changes)


def values_of(module: nn.Module, name: str) -> dict[str, Any]:
    """Returns the values of the fields called `name`, by their dotted paths.

    `values_of(mask_rcnn, "num_classes")` is `{"box_head.num_classes": 90,
    "mask_head.num_classes": 90}`.
    """
    values = {name: getattr(module, name)} if name in _names(module) else {}
    for field, submodule in _submodules(module):
        below = values_of(submodule, name)
        values |= {f"{field}.{path}": value for path, value in below.items()}
    return values


def parts(module: nn.Module) -> dict[str, nn.Module]:
    """Returns the submodules in the fields of a module, by their names.

    Those in a tuple or a dictionary have its field before them: "heads.0".
    """
    return dict(_submodules(module))


def has(module: nn.Module, name: str) -> bool:
    """Whether a module has a field, a property or a method called `name`.

    Nothing is evaluated: what a property raises is not taken for its absence.
    """
    defined = any(name in vars(kind) for kind in type(module).__mro__)
    return defined or name in _names(module)


def of_part(module: nn.Module, part: str, name: str) -> Any:
    """Returns the field or property `name` of the submodule `part` of a detector.

    The part is a path as in `parts`. Raises ValueError where it has none.
    """
    submodule = parts(module)[part]
    if not has(submodule, name):
        raise ValueError(f"model.{part}: {type(submodule).__name__} has no {name}")
    return getattr(submodule, name)


def check_names(path: str, names: Any) -> None:
    """Raises ValueError for a string where names belong: each letter would be one."""
    if isinstance(names, str):
        raise ValueError(
            f"{path} must be a tuple of names, got the string {names!r}: write "
            f"({names!r},)"
        )


def with_head_limits(detector: Model, head: str, **limits: Any) -> Model:
    """Returns a detector whose submodule `head` has those limits that are not None.

    Raises ValueError for one that the head does not have.
    """
    changed: Any = {head: with_limits(getattr(detector, head), **limits)}
    return detector.clone(**changed)


def with_limits(head: Model, **limits: Any) -> Model:
    """Returns a head with those limits that are not None.

    Raises ValueError for one that the head does not have.
    """
    given = {name: value for name, value in limits.items() if value is not None}
    if unknown := given.keys() - _names(head):
        kind = type(head).__name__
        raise ValueError(f"{min(unknown)}: {kind} has no such field")
    return head.clone(**given)


def _names(module: nn.Module) -> set[str]:
    return {field.name for field in dataclasses.fields(module)}


def _is_module(value: Any) -> bool:
    return isinstance(value, nn.Module)


def _holders(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yields the fields that are a submodule, or a pytree with some in it."""
    for name in sorted(_names(module) - {"parent"}):
        value = getattr(module, name, None)
        if any(map(_is_module, jax.tree.leaves(value, is_leaf=_is_module))):
            yield name, value


def _submodules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, holder in _holders(module):
        flat = jax.tree.flatten_with_path(holder, is_leaf=_is_module)[0]
        for path, leaf in flat:
            if _is_module(leaf):
                below = jax.tree_util.keystr(path, simple=True, separator=".")
                yield f"{name}.{below}" if below else name, leaf
