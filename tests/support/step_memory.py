"""Prints what the default job's step is told to take on a CPU, and what it takes.

In a process of its own: bytes that arrays and a step add to it. Linux only.
"""

from experiments.automatic_batch import memory_of
from fpn_jax.training import Config

if __name__ == "__main__":
    print(*memory_of(Config()))
