"""Formulations of one function, of which each platform gets its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax


def by_platform(default: Callable, *arguments: Any, **others: Callable) -> Any:
    """Returns `default(*arguments)`, or what `others` has for where the program runs.

    `by_platform(f, x, cpu=g)`. They are formulations of one function, and gradients are
    taken of the one that runs. Which one that is, is decided where the program is
    lowered: one trace serves all platforms, also for machines that are not here.

    The backward pass computes what it needs anew from the arguments, so it is for
    functions that are cheap, or linear in each argument.
    """
    return _chosen({"default": default, **others}, *arguments)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chosen(formulations: dict[str, Callable], *arguments: Any) -> Any:
    return jax.lax.platform_dependent(*arguments, **formulations)


def _forward(formulations: dict[str, Callable], *arguments: Any):
    return _chosen(formulations, *arguments), arguments


def _backward(
    formulations: dict[str, Callable], arguments: tuple[jax.Array, ...], gradient: Any
):
    pullbacks = {name: _pullback(made) for name, made in formulations.items()}
    return jax.lax.platform_dependent(gradient, *arguments, **pullbacks)


_chosen.defvjp(_forward, _backward)


def _pullback(function: Callable) -> Callable:
    def pull(gradient: Any, *arguments: jax.Array):
        return jax.vjp(function, *arguments)[1](gradient)

    return pull
