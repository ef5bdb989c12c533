"""Which example stands where in the endless sequence of shuffled epochs."""

import functools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Order:
    """Every epoch is a new permutation; a batch may end one and begin the next.

    With `upright`, which says it of every example, images that stand and images that
    lie come in batches of their own. What is left of either, fewer than one batch,
    shares one with the rest of the other or of the epoch before or behind.
    """

    size: int  # examples
    batch_size: int  # over all processes
    seed: int
    upright: np.ndarray | None = None  # [size] bool

    def index(self, position: int) -> int:
        """Returns the example at a position of the sequence."""
        epoch, place = divmod(position, self.size)
        return int(_epoch(self, epoch)[place])

    def is_upright(self, batch: int) -> bool:
        """Returns whether all images of batch number `batch` are known to stand."""
        if self.upright is None:
            return False
        start = batch * self.batch_size
        positions = range(start, start + self.batch_size)
        return all(self.upright[self.index(position)] for position in positions)


@functools.lru_cache(maxsize=4)  # a batch may lie in two epochs; threads in others
def _epoch(order: Order, epoch: int) -> np.ndarray:
    """The permutation of one epoch, grouped where it is asked for."""
    rng = np.random.default_rng((order.seed, 0, epoch))
    permutation = rng.permutation(order.size)
    if order.upright is None:
        return permutation
    size = order.batch_size
    alike = [
        permutation[order.upright[permutation] == stand] for stand in (False, True)
    ]
    batches = [
        group[start : start + size]
        for group in alike
        for start in range(0, len(group) - size + 1, size)
    ]
    rest = np.concatenate([group[len(group) // size * size :] for group in alike])
    rng.shuffle(rest)
    # The epoch before has left this many places of its last batch.
    head = min(-epoch * order.size % size, order.size)
    count = (order.size - head) // size
    rng.shuffle(batches)
    while len(batches) > count:
        rest = np.concatenate([rest, batches.pop()])
    while len(batches) < count:
        batches.insert(rng.integers(len(batches) + 1), rest[head : head + size])
        rest = np.delete(rest, np.s_[head : head + size])
    return np.concatenate([rest[:head], *batches, rest[head:]])
