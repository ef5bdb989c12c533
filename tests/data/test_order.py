"""The order of examples: every one once in each epoch, and who shares a batch."""

import numpy as np
import pytest

from fpn_jax.data.order import Order


def turned_of(size: int, share: float) -> np.ndarray:
    return np.random.default_rng(size).random(size) < share


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size, batch", [(3, 8), (7, 7), (50, 4), (101, 8), (64, 16)])
def test_grouped_epochs_hold_every_example_once(size, batch, share):
    order = Order(size, batch, seed=1, turned=turned_of(size, share))
    epochs = [[order.index(e * size + place) for place in range(size)] for e in (0, 1)]
    epochs += [[order.index(9 * size + place) for place in range(size)]]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    assert size < 7 or len(set(map(tuple, epochs))) == 3


@pytest.mark.parametrize("size, batch", [(50, 4), (101, 8), (203, 16)])
def test_of_an_epoch_less_than_two_batches_are_mixed_and_the_one_at_its_end(
    size, batch
):
    turned = turned_of(size, 0.3)
    order = Order(size, batch, seed=2, turned=turned)
    epochs = 6
    kinds = [
        {bool(turned[order.index(batch * number + row)]) for row in range(batch)}
        for number in range(epochs * size // batch)
    ]
    assert [kind == {True} for kind in kinds] == [
        order.is_turned(number) for number in range(len(kinds))
    ]
    assert sum(kind == {True, False} for kind in kinds) <= 2 * epochs
    # Both kinds come, and not one behind the other.
    alone = [kind == {True} for kind in kinds if len(kind) == 1]
    assert 0.15 < np.mean(alone) < 0.4
    assert np.count_nonzero(np.diff(alone)) > len(alone) / 6


def test_without_grouping_the_order_is_a_permutation_of_each_epoch():
    order = Order(10, 4, seed=0)
    assert sorted(map(order.index, range(10, 20))) == list(range(10))
    assert not order.is_turned(0)


def test_the_seed_decides():
    turned = turned_of(40, 0.5)
    orders = [
        [Order(40, 4, seed, turned).index(p) for p in range(40)] for seed in (3, 3, 4)
    ]
    assert orders[0] == orders[1] != orders[2]
