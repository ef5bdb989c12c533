"""The order of examples: in endless shuffled epochs, and in a single pass."""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Order:
    """Every epoch is a new permutation; a batch may end one and begin the next.

    With `turned`, which says it of every example, images for the turned canvas and the
    others come in batches of their own. The rest of an epoch, fewer
    than two batches, is mixed, also with the rest of the epochs before and behind.
    """

    size: int  # examples
    batch_size: int  # over all processes
    seed: int
    turned: np.ndarray | None = None  # [size] bool

    def index(self, position: int) -> int:
        """Returns the example at a position of the sequence."""
        epoch, place = divmod(position, self.size)
        return int(_permutation(self, epoch)[place])

    def is_turned(self, batch: int) -> bool:
        """Returns whether all images of a batch are for a turned canvas."""
        if self.turned is None:
            return False
        start = batch * self.batch_size
        positions = range(start, start + self.batch_size)
        return all(self.turned[self.index(position)] for position in positions)


class Stretch(NamedTuple):
    """The examples of one batch of a pass, over all processes."""

    indices: np.ndarray  # fewer than a batch at the end
    turned: bool | None  # for the turned canvas; None: each image says it when read


def one_pass(
    size: int, batch_size: int, turned: np.ndarray | None = None
) -> list[Stretch]:
    """Returns the batches of a pass over `size` examples, in their order.

    With `turned` [size] bool, the examples for the canvas as it is come first, and
    those for the turned one behind them: each kind ends with a batch that is not full.
    """
    kinds = [(np.arange(size), None)]
    if turned is not None:
        kinds = [(np.flatnonzero(turned == kind), kind) for kind in (False, True)]
    return [
        Stretch(indices[start : start + batch_size], kind)
        for indices, kind in kinds
        for start in range(0, len(indices), batch_size)
    ]


@functools.lru_cache(maxsize=4)  # a batch may lie in two epochs; threads in others
def _permutation(order: Order, epoch: int) -> np.ndarray:
    """The permutation of one epoch, grouped where it is asked for."""
    rng = np.random.default_rng((order.seed, 0, epoch))
    permutation = rng.permutation(order.size)
    if order.turned is None:
        return permutation
    size = order.batch_size
    alike = [permutation[order.turned[permutation] == kind] for kind in (False, True)]
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
