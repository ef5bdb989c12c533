"""Traces that take this machine for a TPU."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType


def traced_for_tpu(function: Callable, *, devices: int = 1) -> Callable:
    """Returns a function whose trace is for TPUs, wherever its program runs."""
    kind: dict[str, Any] = {"device_kind": "TPU v5 lite", "num_cores": 1}
    try:
        device = AbstractDevice(**kind, platform="tpu")
    except TypeError:  # jax before 0.8 told no platform
        device = AbstractDevice(**kind)
    mesh = AbstractMesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), abstract_device=device
    )

    @wraps(function.func if isinstance(function, partial) else function)
    def traced(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh):
            return function(*arguments)

    return traced
