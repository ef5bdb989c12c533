"""One change to a field that many submodules of a detector have."""

import dataclasses
from typing import Any

import flax.linen as nn


def with_field(module: nn.Module, name: str, value: Any) -> nn.Module:
    """Returns the module with `name` set in it and in every submodule that has it.

    `axis_name` for batch norm under pmap, `dtype` for another precision.
    """
    changes = {
        field.name: with_field(getattr(module, field.name), name, value)
        for field in dataclasses.fields(module)
        if isinstance(getattr(module, field.name, None), nn.Module)
        and field.name != "parent"
    }
    if hasattr(module, name):
        changes[name] = value
    return module.clone(**changes)
