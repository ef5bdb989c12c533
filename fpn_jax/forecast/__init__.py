"""Memory and time of a run on chips elsewhere; the command is `fpn_jax.preflight`.

- `read_topology` and `devices_of`: devices that programs can be compiled for.
- `forecast` compiles a program that `training/lowering.py` has lowered for them, and
  says memory and time; `costs` and `program_text` read the time out of the text of the
  optimized program.

Bytes are of one device. Seconds are sums of the compiler's own estimates, taken one by
one; nothing here was measured on a chip.
"""

from typing import TYPE_CHECKING

from fpn_jax.lazy import late_names

if TYPE_CHECKING:
    from fpn_jax.forecast.estimate import Forecast, Memory, forecast
    from fpn_jax.forecast.search import largest_that_fits
    from fpn_jax.forecast.topology import (
        Topology,
        devices_of,
        read_topology,
        set_up_topology,
    )

__all__ = [
    "Forecast",
    "Memory",
    "Topology",
    "devices_of",
    "forecast",
    "largest_that_fits",
    "read_topology",
    "set_up_topology",
]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.forecast.estimate": ("Forecast", "Memory", "forecast"),
        "fpn_jax.forecast.search": ("largest_that_fits",),
        "fpn_jax.forecast.topology": (
            "Topology",
            "devices_of",
            "read_topology",
            "set_up_topology",
        ),
    },
)
