"""Formulations of one function, of which each platform gets its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def by_platform(cpu: Callable, others: Callable, *arguments: Any) -> Any:
    """Returns `cpu(*arguments)` where the program runs on a CPU, else `others(…)`.

    They are two formulations of one function, and gradients are taken of the one that
    runs. Which one that is, is decided where the program is lowered: one trace serves
    all platforms, also for machines that are not here.

    The backward pass computes what it needs anew from the arguments, so it is for
    functions that are cheap, or linear in each argument.
    """
    return jax.lax.platform_dependent(*arguments, cpu=cpu, default=others)


def _forward(cpu: Callable, others: Callable, *arguments: Any):
    return by_platform(cpu, others, *arguments), arguments


def _backward(
    cpu: Callable, others: Callable, arguments: tuple[jax.Array, ...], gradient: Any
):
    return jax.lax.platform_dependent(
        gradient, *arguments, cpu=_pullback(cpu), default=_pullback(others)
    )


by_platform.defvjp(_forward, _backward)


def _pullback(function: Callable) -> Callable:
    def pull(gradient: Any, *arguments: jax.Array):
        return jax.vjp(function, *arguments)[1](gradient)

    return pull
