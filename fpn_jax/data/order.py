"""Which example stands where in the endless sequence of shuffled epochs."""

import functools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Order:
    """Every epoch is a new permutation; a batch may end one and begin the next.

    With `upright`, which says it of every example, upright images and the others come
    in batches of their own. What is left over, fewer than two batches of an epoch, is
    mixed, also with what is left of the epochs before and behind.
    """

    size: int  # examples
    batch_size: int  # over all processes
    seed: int
    upright: np.ndarray | None = None  # [size] bool

    def index(self, position: int) -> int:
        """Returns the example at a position of the sequence."""
        epoch, place = divmod(position, self.size)
        return int(_permutation(self, epoch)[place])

    def is_upright(self, batch: int) -> bool:
        """Returns whether all images of batch number `batch` are upright."""
        if self.upright is None:
            return False
        start = batch * self.batch_size
        positions = range(start, start + self.batch_size)
        return all(self.upright[self.index(position)] for position in positions)


@functools.lru_cache(maxsize=4)  # a batch may lie in two epochs; threads in others
def _permutation(order: Order, epoch: int) -> np.ndarray:
    """The permutation of one epoch, grouped where it is asked for."""
    rng = np.random.default_rng((order.seed, 0, epoch))
    permutation = rng.permutation(order.size)
    if order.upright is None:
        return permutation
    size = order.batch_size
    alike = [permutation[order.upright[permutation] == kind] for kind in (False, True)]
    batches = [
        group[start : start + size]
        for group in alike
        for start in range(0, len(group) - size + 1, size)
    ]
    rest = np.concatenate([group[len(group) // size * size :] for group in alike])
    rng.shuffle(rest)
    # The epoch before has left this many places of its last batch.
    before = min(-epoch * order.size % size, order.size)
    num_batches = (order.size - before) // size
    rng.shuffle(batches)
    while len(batches) > num_batches:
        rest = np.concatenate([rest, batches.pop()])
    while len(batches) < num_batches:
        batches.insert(rng.integers(len(batches) + 1), rest[before : before + size])
        rest = np.delete(rest, np.s_[before : before + size])
    return np.concatenate([rest[:before], *batches, rest[before:]])
