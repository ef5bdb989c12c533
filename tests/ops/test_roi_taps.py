"""The cells that a bin reads, and their weights, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.roi_taps import (
    Plan,
    block_of_taps,
    fixed_taps,
    num_blocks,
    num_taps,
)


def plan(sampling_ratio, *, size=7, aligned=True):
    return Plan(((60, 80),), (1.0,), size, sampling_ratio, aligned)


def boxes(*sides):
    return jnp.array([[10, 10, 10 + w, 10 + h] for w, h in sides], jnp.float32)


def rows_of(of_block, row):
    """Returns {(y, x): weight} of one bin's cells, without those of no weight."""
    index, weight = (np.asarray(x)[:, row, 0, 0] for x in of_block)
    cells = {}
    for i, w in zip(index.tolist(), weight.tolist(), strict=True):
        if w:
            cells[divmod(i, 80)] = cells.get(divmod(i, 80), 0) + w
    return cells


def test_a_fixed_number_of_samples_reads_two_cells_for_each():
    # A bin of 1 x 2 cells from (9.5, 9.5) on has samples at y = 9.75 and 10.25 and at
    # x = 10 and 11: along y the weights are 1/8, 6/8 and 1/8, along x 1/2 and 1/2.
    cells = rows_of(fixed_taps(plan(2), boxes((14, 7)), jnp.zeros(1, jnp.int32)), 0)
    shares = {9: 0.125, 10: 0.75, 11: 0.125}
    assert cells == {(y, x): w / 2 for y, w in shares.items() for x in (10, 11)}


def test_adaptive_samples_are_one_in_one_cell_and_two_in_two():
    # The same bin has one sample along y, at 10, and two along x.
    levels = jnp.zeros(1, jnp.int32)
    taps = block_of_taps(plan(0), boxes((14, 7)), levels, jnp.int32(0))
    assert rows_of(taps, 0) == {(10, 10): 0.5, (10, 11): 0.5}


@pytest.mark.parametrize("side, samples", [(7, 1), (7.001, 2), (21, 3), (42, 6)])
def test_a_bin_has_as_many_samples_as_cells(side, samples):
    # 21 / 7 is 3 also where a compiler multiplies by a seventh: no fourth sample. Of n
    # samples the first n have cells of their own, and the last one's second may count.
    levels = jnp.zeros(1, jnp.int32)
    given = boxes((side, 7))
    blocks = num_blocks(num_taps(plan(0), given, levels))
    assert blocks == -(-2 * (samples + 1) // 9)
    cells = {}
    for block in range(int(blocks)):
        cells |= rows_of(block_of_taps(plan(0), given, levels, jnp.int32(block)), 0)
    assert len({x for _, x in cells}) in (samples, samples + 1)
    np.testing.assert_allclose(sum(cells.values()), 1, rtol=1e-6)


def test_the_largest_box_decides_how_many_blocks_there_are():
    levels = jnp.zeros(3, jnp.int32)
    few = boxes((7, 7), (14, 14), (3, 0))
    assert num_blocks(num_taps(plan(0), few, levels)) == 1  # 3 x 3 cells
    # 8 x 2 cells, one more than 7 x 1 samples: 16 taps.
    assert num_blocks(num_taps(plan(0), few.at[0, 2].set(10 + 49), levels)) == 2
    assert num_blocks(num_taps(plan(0), boxes((0, 9), (9, 0), (-4, 5)), levels)) == 0


def test_what_is_behind_the_last_tap_of_a_box_has_no_weight():
    levels = jnp.zeros(2, jnp.int32)
    _, weight = block_of_taps(plan(0), boxes((7, 7), (49, 49)), levels, jnp.int32(1))
    assert not weight[:, 0].any() and weight[:, 1].any()


@pytest.mark.parametrize("width, height", [(7, 7), (14, 7), (21, 30), (600, 3)])
def test_pairs_are_the_same_cells_with_their_neighbors(width, height):
    levels = jnp.zeros(1, jnp.int32)
    given = boxes((width, height))  # the last one reaches across the border
    taps = num_taps(plan(0), given, levels)
    cells, paired = {}, {}
    for block in range(int(num_blocks(taps))):
        cells |= rows_of(block_of_taps(plan(0), given, levels, jnp.int32(block)), 0)
    for block in range(int(num_blocks(taps, pairs=True))):
        pairs = block_of_taps(plan(0), given, levels, jnp.int32(block), pairs=True)
        paired |= rows_of(pairs, 0)
        index, weight = pairs
        neighbors = index[1::2] == index[::2] + 1
        assert jnp.all(neighbors | (weight[1::2] == 0))
    assert cells == paired


def test_samples_of_a_fixed_number_are_pairs_too():
    index, weight = fixed_taps(plan(2), boxes((700, 500)), jnp.zeros(1, jnp.int32))
    assert jnp.all((index[1::2] == index[::2] + 1) | (weight[1::2] == 0))
    assert (weight == 0).any() and (weight[1::2] != 0).any()


def test_no_box_reads_more_cells_than_the_map_has():
    levels = jnp.zeros(1, jnp.int32)
    huge = jnp.array([[-1e6, 0, 1e6, 7]])
    assert num_blocks(num_taps(plan(0), huge, levels)) == -(-80 * 2 // 9)
