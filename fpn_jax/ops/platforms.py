"""Formulations of one function: each platform gets its own."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax

ONNX = "onnx"  # the name of formulations for files that JAX does not compile
_TRACED_FOR: ContextVar[str | None] = ContextVar("traced_for", default=None)


def traced_for(platform: str, function: Callable) -> Callable:
    """Returns a function whose trace has the formulations of one platform alone.

    For programs that no compiler of JAX lowers, which know nothing of platforms: one
    for ONNX has those named `onnx`, and otherwise the default ones.
    """

    def traced(*arguments: Any) -> Any:
        token = _TRACED_FOR.set(platform)
        try:
            return function(*arguments)
        finally:
            _TRACED_FOR.reset(token)

    return traced


def by_platform(default: Callable, *arguments: Any, **others: Callable) -> Any:
    """Returns `default(*arguments)`, or what `others` has for where the program runs.

    `by_platform(f, x, cpu=g)`. They are formulations of one function, and gradients are
    taken of the one that runs. Which one that is, is decided where the program is
    lowered: one trace serves all platforms, also for machines that are not here.

    The backward pass computes what it needs anew from the arguments, so it is for
    functions that are cheap, or linear in each argument.
    """
    formulations = {"default": default, **others}
    if _TRACED_FOR.get() is not None or not others.keys() - {ONNX}:
        return at_lowering(formulations, *arguments)
    return _chosen(formulations, *arguments)


def at_lowering(formulations: dict[str, Callable], *arguments: Any) -> Any:
    """Calls the formulation of the platform, or the one named "default".

    For a function that has a gradient of its own, or needs none.
    """
    if (platform := _TRACED_FOR.get()) is not None:
        return formulations.get(platform, formulations["default"])(*arguments)
    known = {name: f for name, f in formulations.items() if name != ONNX}
    if len(known) == 1:
        return known["default"](*arguments)
    return jax.lax.platform_dependent(*arguments, **known)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chosen(formulations: dict[str, Callable], *arguments: Any) -> Any:
    return at_lowering(formulations, *arguments)


def _forward(formulations: dict[str, Callable], *arguments: Any):
    return _chosen(formulations, *arguments), arguments


def _backward(
    formulations: dict[str, Callable], arguments: tuple[jax.Array, ...], gradient: Any
):
    pullbacks = {name: _pullback(made) for name, made in formulations.items()}
    return at_lowering(pullbacks, gradient, *arguments)


_chosen.defvjp(_forward, _backward)


def _pullback(function: Callable) -> Callable:
    def pull(gradient: Any, *arguments: jax.Array):
        return jax.vjp(function, *arguments)[1](gradient)

    return pull
