"""Doors whose names are imported when they are asked for (PEP 562).

A room whose files need more than the core dependencies has such a door, so that one of
its names does not cost what all the others need. It gives each name thrice: under `if
TYPE_CHECKING:` for type checkers, in the table for Python, in `__all__` for readers; a
test holds the three together. No name may be that of a file of the room: whoever
imports the file would put the module in the place of the name.
"""

import sys


def late_names(door: str, table: dict[str, tuple[str, ...]]) -> tuple:
    """Returns the functions `__getattr__` and `__dir__` of a door.

    >>> __getattr__, __dir__ = late_names(__name__, {"fpn_jax.inference": ("load",)})

    Args:
        door: the `__name__` of the `__init__` file.
        table: the names that each module gives, by the full path of the module.
    """
    modules = {name: module for module, names in table.items() for name in names}

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {door!r} has no attribute {name!r}")
        from importlib import import_module  # not before it is needed

        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[door], name, value)  # asked for once
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[door]), *modules})

    return get, names
