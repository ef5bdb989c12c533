import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.anchors import anchor_rows
from fpn_jax.ops.top_pairs import top_anchor_classes, top_pairs
from tests.support.tpu import traced_for_tpu


def test_top_pairs_by_hand():
    values = jnp.array([[1.0, 5, 2], [9, 0, 8], [3, 4, 7]])
    best, rows, columns = top_pairs(values, 4)
    np.testing.assert_array_equal(best, [9, 8, 7, 5])
    np.testing.assert_array_equal(rows, [1, 1, 2, 0])
    np.testing.assert_array_equal(columns, [0, 2, 2, 1])


@pytest.mark.parametrize("num", [1, 10, 300, 5000])
@pytest.mark.parametrize("ties", [False, True])
def test_top_pairs_are_those_of_the_whole_matrix(ties, num):
    values = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    values = np.round(values) if ties else values
    best, rows, columns = jax.jit(top_pairs, static_argnums=1)(values, num)
    np.testing.assert_array_equal(best, -np.sort(-values.ravel())[:num])
    np.testing.assert_array_equal(values[rows, columns], best)
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(best)


@pytest.mark.parametrize("num", [1, 7, 100, 5000])
@pytest.mark.parametrize("ties", [False, True])
def test_ranking_cells_first_changes_nothing(ties, num):
    level = np.random.default_rng(0).normal(size=(2, 6, 9, 3 * 5)).astype(np.float32)
    level = jnp.array(np.round(level) if ties else level)
    whole = jax.vmap(lambda rows: top_pairs(rows, num))(anchor_rows(level, 5))
    ours = top_anchor_classes(level, 5, num)
    jax.tree.map(np.testing.assert_array_equal, ours, whole)


def test_maxima_of_cells_are_those_of_strips_on_a_tpu():
    level = jax.random.normal(jax.random.key(0), (4, 6, 32, 3 * 5))
    program = jax.jit(traced_for_tpu(lambda level: top_anchor_classes(level, 5, 7)))
    lowered = program.lower(level)
    assert "tensor<8x6x16xf32>" in lowered.as_text()  # two strips of each image
    ours, theirs = lowered.compile()(level), top_anchor_classes(level, 5, 7)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
