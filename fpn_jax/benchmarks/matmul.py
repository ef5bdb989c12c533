"""The machine's rate of a matrix product; other rows are told as a share of it."""

import jax
import jax.numpy as jnp

from fpn_jax.benchmarks.timing import OURS, Contest

_SIDE = 4096  # 201 MB in three matrices: beyond every cache


def matmul_peak(peer: bool) -> Contest:
    """Product of two float32 matrices of 4096 x 4096, by XLA and by torch."""
    matrix = jnp.ones((_SIDE, _SIDE), jnp.float32)
    product = jax.jit(jnp.matmul)
    contestants = {OURS: lambda: product(matrix, matrix).block_until_ready()}
    if peer:
        import torch

        other = torch.ones((_SIDE, _SIDE))
        contestants["torch"] = lambda: other @ other
    return Contest(contestants, runs=5, flop=2 * _SIDE**3)
