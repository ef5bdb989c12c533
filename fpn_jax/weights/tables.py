"""Tables of names by the class of the module that they are of."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn

from fpn_jax.weights.state_dicts import Rule

Tables = Mapping[Any, Callable[[Any], list[Rule]]]  # by class of Linen modules


def rules_of(module: nn.Module, tables: Tables, *, library: str) -> list[Rule]:
    """Returns the table of a module's own class.

    Raises ValueError where the library's files have no counterpart of that class.
    """
    table = tables.get(type(module))
    if table is None:
        raise ValueError(
            f"{library} has no counterpart of {type(module).__qualname__}, only of "
            f"{_listed(tables)}"
        )
    return table(module)


def _listed(tables: Tables) -> str:
    names: Sequence[str] = [kind.__name__ for kind in tables]
    return ", ".join(names)
