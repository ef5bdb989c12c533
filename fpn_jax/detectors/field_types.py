"""Checks of values against the types of annotations."""

import inspect
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import flax.linen as nn
import jax.numpy as jnp


def fits_type(value: Any, hint: Any) -> bool:
    """Whether a value has the type of an annotation: numbers, words, tuples, modules.

    A list is as good as a tuple, a whole number as a float, and a type of JAX or NumPy
    as its name. What any other annotation says is not looked at.
    """
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits_type(value, one) for one in inside)
    if kind is Literal:
        return value in inside if isinstance(value, str) else _name(value) in inside
    if kind is tuple:
        return isinstance(value, tuple | list) and _items_fit(value, inside)
    if hint is NoneType:
        return value is None
    if hint in (int, float):
        number = isinstance(value, int if hint is int else int | float)
        return number and not isinstance(value, bool)
    known = isinstance(hint, type) and issubclass(hint, bool | str | nn.Module)
    return isinstance(value, hint) if known else True


def type_in_words(hint: Any) -> str:
    """Returns an annotation for a message: "'pool', 'none' or None", "tuple[int]"."""
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return " or ".join(map(type_in_words, inside))
    if kind is Literal:
        return ", ".join(map(repr, inside))
    words = {int: "a whole number", float: "a number", bool: "True or False"}
    words |= {str: "a string", NoneType: "None", nn.Module: "a Linen module"}
    name = hint.__name__ if isinstance(hint, type) else inspect.formatannotation(hint)
    return words.get(hint, name)


def _items_fit(items: tuple | list, hints: tuple[Any, ...]) -> bool:
    if hints[-1] is Ellipsis:
        return all(fits_type(item, hints[0]) for item in items)
    pairs = zip(items, hints, strict=False)
    return len(items) == len(hints) and all(fits_type(x, hint) for x, hint in pairs)


def _name(dtype: Any) -> str | None:
    """Returns the name of a type of JAX or NumPy; None for any other value."""
    if dtype is None:  # NumPy takes it for float64
        return None
    try:
        return jnp.dtype(dtype).name
    except TypeError:
        return None
