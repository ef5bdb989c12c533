"""The machine's rate of a matrix product; other rows are told as a share of it."""

import jax
import jax.numpy as jnp

from fpn_jax.benchmarks.setting import EAGER_FLOAT32, Setting, finished, peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.parity.live_torchvision import import_torchvision

_SIDE = 4096  # 201 MB in three matrices: beyond every cache


def matmul_peak(peer: bool, *, setting: Setting = EAGER_FLOAT32) -> Contest:
    """Product of two matrices of 4096 x 4096, by XLA and by torch."""
    half = setting.precision == "bfloat16"
    matrix = jnp.ones((_SIDE, _SIDE), jnp.bfloat16 if half else jnp.float32)
    product = jax.jit(jnp.matmul)
    contestants = {OURS: lambda: product(matrix, matrix).block_until_ready()}
    if peer:
        torch, _ = import_torchvision()
        kind = torch.bfloat16 if half else torch.float32
        other = torch.ones((_SIDE, _SIDE), dtype=kind, device=peer_device())
        contestants["torch"] = finished(lambda: other @ other)
    return Contest(contestants, runs=5, flop=2 * _SIDE**3)
