"""Facts of the chips that a program can be compiled for without having one.

Google's documentation of TPU versions (cloud.google.com/tpu/docs/v5e, v5p, v6e). The
clock follows from the peak: v5e has 4 matrix units of 128 x 128 in a chip, v5p 8, and
v6e 4 of 256 x 256, and each multiplies and adds once a cycle.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Chip(NamedTuple):
    """A kind of chip."""

    peak: float  # bfloat16 floating-point operations a second
    memory: int  # bytes of high-bandwidth memory
    bandwidth: float  # of that memory, bytes a second
    multipliers: int  # of all matrix units
    accelerator: str  # what libtpu calls a slice, before its number of chips
    smallest: str  # grid of the smallest machine that the compiler knows

    @property
    def clock(self) -> float:
        """Cycles a second."""
        return self.peak / (2 * self.multipliers)


CHIPS: Mapping[str, Chip] = {
    "v5e": Chip(197e12, 16 * 10**9, 819e9, 4 * 128**2, "v5litepod", "2x2"),
    "v5p": Chip(459e12, 95 * 10**9, 2765e9, 8 * 128**2, "v5p", "2x2x1"),
    "v6e": Chip(918e12, 32 * 10**9, 1640e9, 4 * 256**2, "v6e", "2x2"),
}
