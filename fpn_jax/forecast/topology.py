"""Devices of a machine that is not here, for which programs can be compiled."""

import math
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from fpn_jax.choices import check_choice
from fpn_jax.forecast.chips import CHIPS, Chip

# libtpu would ask a cloud for its machine, which is not one.
_ALONE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_NUM_SMALLEST = 4  # chips of the smallest machine


class Topology(NamedTuple):
    """A number of chips and how they are joined."""

    name: str  # "v5e:4x4", or "cpu"
    chip: Chip | None  # None of the CPU that is here
    sides: tuple[int, ...]

    @property
    def num_devices(self) -> int:
        return math.prod(self.sides)


def read_topology(name: str) -> Topology:
    """Returns the topology of a name: "v5e:4x4", "v5p:2x2x1", "v6e:1x1", or "cpu".

    Raises ValueError for another name.
    """
    if name == "cpu":
        return Topology(name, None, (1,))
    kind, _, grid = name.partition(":")
    check_choice("topology", kind, ["cpu", *CHIPS])
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", grid):
        raise ValueError(
            f"topology: {name!r} has no grid of chips; "
            f"{kind}:{CHIPS[kind].smallest} is four of them"
        )
    return Topology(name, CHIPS[kind], tuple(map(int, grid.split("x"))))


def set_up_topology(topology: Topology) -> None:
    """Prepares this process; call before JAX is imported."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if topology.chip is not None:
        for name, value in _environment(topology).items():
            os.environ.setdefault(name, value)


def devices_of(topology: Topology) -> list[Any]:
    """Returns the devices. Nothing can run on them, except on the CPU.

    Raises ValueError without libtpu, and for chips that are not joined like this.
    """
    import jax

    if topology.chip is None:
        return jax.local_devices(backend="cpu")[:1]
    from jax.experimental import topologies

    if find_spec("libtpu") is None:
        raise ValueError(
            f"topology: {topology.name!r} needs the TPU's compiler, libtpu: "
            "pip install 'fpn-jax[tpu]'"
        )
    kind, _, grid = topology.name.partition(":")
    # Fewer chips are a part of the smallest machine that the compiler knows.
    is_part = topology.num_devices < _NUM_SMALLEST
    name = f"{kind}:{topology.chip.smallest if is_part else grid}"
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=name)
    except Exception as error:
        why = str(error).splitlines()[0]
        raise ValueError(f"topology: {topology.name!r}: {why}") from error
    return list(described.devices)[: topology.num_devices]


def _environment(topology: Topology) -> Mapping[str, str]:
    assert topology.chip is not None
    accelerator = (
        f"{topology.chip.accelerator}-{max(topology.num_devices, _NUM_SMALLEST)}"
    )
    return {**_ALONE, "TPU_ACCELERATOR_TYPE": accelerator}
