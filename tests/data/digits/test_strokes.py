import numpy as np
import pytest

from fpn_jax.data.digits.strokes import stroke_ends


def _ink(*rows):
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize(
    ("ink", "ends"),
    [
        (_ink("....", ".#..", "...."), [[1, 1], [1, 1]]),
        (_ink("#...", ".#..", "..#."), [[0, 0], [2, 2]]),  # diagonal steps
        (_ink(".##.", "#...", "#...", "###."), [[2, 0], [2, 3]]),  # along the C
        (_ink("####", "..#.", ".#..", ".#.."), [[0, 0], [1, 3]]),  # a 7
        (_ink(".##.", "#..#", "#..#", "#..#", "#..#", ".##."), [[1, 0], [2, 5]]),
        (_ink("#..#", "...#", "...#"), [[3, 0], [3, 2]]),  # the speck is apart
    ],
)
def test_ends_by_hand(ink, ends):
    assert stroke_ends(ink).tolist() == ends


def test_the_way_between_the_ends_is_the_longest():
    from scipy.sparse.csgraph import shortest_path

    rng = np.random.default_rng(0)
    for _ in range(20):
        ink = rng.random((8, 8)) < 0.5
        pixels = np.argwhere(ink)
        steps = np.linalg.norm(pixels[:, None] - pixels, axis=-1)
        ways = shortest_path(np.where(steps < 1.5, steps, 0))
        (x1, y1), (x2, y2) = stroke_ends(ink)
        (start,) = np.flatnonzero((pixels == [y1, x1]).all(axis=1))
        (end,) = np.flatnonzero((pixels == [y2, x2]).all(axis=1))
        np.testing.assert_allclose(ways[start, end], ways[np.isfinite(ways)].max())
