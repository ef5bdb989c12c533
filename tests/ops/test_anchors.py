import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.anchors import (
    anchor_rows,
    anchor_rows_at,
    cell_anchors,
    level_anchors,
    pyramid_anchors,
    pyramid_points,
)
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

RATIOS = (0.5, 1.0, 2.0)
RPN_SIZES = {2: (32,), 3: (64,), 4: (128,), 5: (256,), 6: (512,)}
RETINANET_SIZES = {
    3: (32, 40, 50),
    4: (64, 80, 101),
    5: (128, 161, 203),
    6: (256, 322, 406),
    7: (512, 645, 812),
}


def grids_of(canvas, levels):
    return {level: tuple(-(-side // 2**level) for side in canvas) for level in levels}


def torchvision_anchors(canvas, grids, sizes):
    generator = torchvision.models.detection.anchor_utils.AnchorGenerator(
        tuple(sizes.values()), (RATIOS,) * len(sizes)
    )
    features = [torch.zeros(1, 1, *grid) for grid in grids.values()]
    image = torchvision.models.detection.image_list.ImageList(
        torch.zeros(1, 3, *canvas), [canvas]
    )
    return generator(image, features)[0].numpy()


def test_cell_anchors_by_hand():
    # sqrt(0.5) * 32 = 22.6 high for the ratio 0.5, half of it 11.3.
    expected = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    np.testing.assert_array_equal(cell_anchors((32,), RATIOS), expected)


def test_cell_anchors_go_through_the_sizes_of_one_ratio_first():
    sides = cell_anchors((32, 64), (1.0, 4.0))[:, 2:] * 2  # (w, h)
    np.testing.assert_array_equal(sides, [[32, 32], [64, 64], [16, 64], [32, 128]])


def test_unrounded_cell_anchors_keep_their_area():
    anchors = cell_anchors((32, 40, 50), RATIOS, rounded=False)
    width, height = (anchors[:, 2:] - anchors[:, :2]).T
    np.testing.assert_allclose(width * height, [1024, 1600, 2500] * 3, rtol=1e-6)
    np.testing.assert_allclose(height / width, np.repeat(RATIOS, 3), rtol=1e-6)


def test_first_anchor_is_centered_on_the_corner_of_the_canvas():
    cell = cell_anchors((32,), (1.0,))
    anchors = level_anchors(cell, (2, 3), (8, 4))
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2  # (x, y), row by row
    expected = [[0, 0], [4, 0], [8, 0], [0, 8], [4, 8], [8, 8]]
    np.testing.assert_array_equal(centers, expected)


@pytest.mark.parametrize("sizes", [RPN_SIZES, RETINANET_SIZES], ids=["rpn", "retina"])
@pytest.mark.parametrize("canvas", [(640, 640), (800, 1344), (416, 608)])
def test_anchors_are_torchvisions_to_the_last_bit(canvas, sizes):
    # 800 and 416 are no multiples of 64: the coarse strides are 61 and 59 px there.
    grids = grids_of(canvas, sizes)
    ours = jax.jit(
        lambda: pyramid_anchors(canvas, grids, sizes, RATIOS, stride_rule="canvas")
    )()
    ours = np.concatenate([ours[level] for level in sizes])
    np.testing.assert_array_equal(ours, torchvision_anchors(canvas, grids, sizes))


@pytest.mark.parametrize("rule, stride", [("canvas", (61, 64)), ("level", (64, 64))])
def test_stride_rules_differ_where_the_grid_was_rounded_up(rule, stride):
    anchors = pyramid_anchors(
        (800, 1344), {6: (13, 21)}, {6: (512,)}, (1.0,), stride_rule=rule
    )[6].reshape(13, 21, 4)
    assert tuple(anchors[1, 1, :2] - anchors[0, 0, :2]) == stride[::-1]


def test_anchor_counts_are_the_papers():
    # FPN paper, Table 1, an 800 x 1000 image: 200k on P2 … P6, 750k on P2 alone.
    grids = grids_of((800, 1000), RPN_SIZES)

    def count(sizes):
        anchors = jax.eval_shape(
            lambda: pyramid_anchors(
                (800, 1000),
                {level: grids[level] for level in sizes},
                sizes,
                RATIOS,
                stride_rule="level",
            )
        )
        return {level: len(a) for level, a in anchors.items()}

    assert list(count(RPN_SIZES).values()) == [150_000, 37_500, 9_450, 2_400, 624]
    all_sizes = tuple(size for (size,) in RPN_SIZES.values())
    assert count({2: all_sizes}) == {2: 750_000}
    assert count({4: all_sizes}) == {4: 47_250}
    assert count({5: all_sizes}) == {5: 12_000}


def test_unknown_stride_rule_is_named():
    with pytest.raises(
        ValueError, match=r"stride_rule must be one of .* got 'lvel' \(nearest: 'level'"
    ):
        pyramid_anchors((8, 8), {2: (2, 2)}, {2: (8,)}, RATIOS, stride_rule="lvel")


def test_levels_without_sizes_are_named():
    with pytest.raises(
        ValueError, match=r"sizes has the levels \[2\], grids has \[3\]"
    ):
        pyramid_anchors((8, 8), {3: (1, 1)}, {2: (8,)}, RATIOS, stride_rule="level")


@pytest.mark.parametrize("canvas", [(256, 384), (160, 224)])
def test_points_are_the_centers_of_anchors(canvas):
    grids = grids_of(canvas, range(3, 8))
    sizes = {level: (2**level,) for level in grids}
    anchors = pyramid_anchors(canvas, grids, sizes, (1.0,), stride_rule="canvas")
    points = pyramid_points(canvas, grids, stride_rule="canvas")
    assert points.keys() == anchors.keys()
    for level, boxes in anchors.items():
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        np.testing.assert_array_equal(points[level], centers)


def test_anchor_rows_at_are_taken_by_their_index():
    rng = np.random.default_rng(0)
    level = rng.normal(size=(2, 5, 4, 3 * 4)).astype(np.float32)
    level[0, 2, 1, 4:8] = np.inf  # one anchor of a cell does not reach the others
    level = jnp.array(level)
    index = jnp.array([[59, 0, 27, 28, 29, 28], [3, 3, 59, 1, 30, 2]])
    rows = anchor_rows(level, 4)
    theirs = jnp.stack([rows[0][index[0]], rows[1][index[1]]])
    np.testing.assert_array_equal(anchor_rows_at(level, index, 4), theirs)
