"""Traces that take this machine for a TPU."""

from collections.abc import Callable
from typing import Any

from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from fpn_jax.ops.meshes import traced_on


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
    return traced_on(mesh, function)
