"""Fields of a detector and of the submodules that it is made of."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import flax.linen as nn


def with_field(module: nn.Module, name: str, value: Any) -> nn.Module:
    """Returns the module with `name` set in it and in every submodule that has it.

    `axis_name` for batch norm under pmap, `dtype` for another precision.
    """
    changes = {
        field: with_field(submodule, name, value)
        for field, submodule in _submodules(module)
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
    """Returns the submodules that are fields of a module, by their names."""
    return dict(_submodules(module))


def with_limits(head: nn.Module, **limits: float | None) -> nn.Module:
    """Returns a head with those of its fields changed that are not None.

    Raises ValueError for one that the head does not have.
    """
    given = {name: value for name, value in limits.items() if value is not None}
    if unknown := given.keys() - _names(head):
        raise ValueError(f"{min(unknown)}: {type(head).__name__} has no such field")
    return head.clone(**given)


def _names(module: nn.Module) -> set[str]:
    return {field.name for field in dataclasses.fields(module)}


def _submodules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name in sorted(_names(module) - {"parent"}):
        if isinstance(submodule := getattr(module, name, None), nn.Module):
            yield name, submodule
