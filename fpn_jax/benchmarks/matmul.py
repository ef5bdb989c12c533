"""The machine's rate of a matrix product; other rows are told as a share of it."""

import jax
import jax.numpy as jnp

from fpn_jax.benchmarks.setting import EAGER_FLOAT32, Setting, finished, peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.runtime import num_cores

_SIDE = 4096  # Two matrices of 67 MB, in bfloat16 of 34.


def matmul_peak(peer: bool, *, setting: Setting = EAGER_FLOAT32) -> Contest:
    """Product of two matrices of 4096 x 4096, by XLA and by torch."""
    dtype = "bfloat16" if setting.precision == "bfloat16" else "float32"
    matrix = jnp.ones((_SIDE, _SIDE), dtype)
    product = jax.jit(jnp.matmul)
    contestants = {OURS: lambda: product(matrix, matrix).block_until_ready()}
    if peer:
        torch, _ = import_torchvision()
        torch.set_num_threads(num_cores())  # the row `loading` leaves one
        kind = getattr(torch, dtype)
        other = torch.ones((_SIDE, _SIDE), dtype=kind, device=peer_device())
        contestants["torch"] = finished(lambda: other @ other)
    return Contest(contestants, runs=5, flop=2 * _SIDE**3)
