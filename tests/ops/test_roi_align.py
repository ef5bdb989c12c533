from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.roi_align import assign_levels, pyramid_roi_align, roi_align
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

# Theirs and ours place a sample within a few float32 steps of its coordinate, up to
# 160 cells here, 1e-5 each; two neighbors differ by some 4 in unit-normal features.
TOLERANCE = 2e-4
CANVAS = (512, 640)
COMPILED = torchvision.extension._has_ops()

align = jax.jit(
    roi_align, static_argnames=("size", "scale", "sampling_ratio", "aligned")
)
align_pyramid = jax.jit(
    pyramid_roi_align, static_argnames=("canvas", "size", "sampling_ratio", "aligned")
)


@pytest.fixture(autouse=True)
def eager():
    """Lets torchvision's roi_align in Python run without minutes of torch.compile."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def random_boxes(seed, *shape, height=CANVAS[0], width=CANVAS[1]):
    """Boxes of sides 1 … 1000 px, cut one cell of P5 before the canvas ends.

    Nearer to its end a box of less than a cell reads more than a cell outside of the
    map, where torchvision's roi_align in Python is not as its compiled operator.
    """
    rng = np.random.default_rng(seed)
    center = rng.uniform((0, 0), (width, height), (*shape, 2))
    sides = 2 ** rng.uniform(0, 10, (*shape, 2))
    boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=-1)
    return boxes.clip(0, [width - 32, height - 32] * 2).astype(np.float32)


def random_map(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_pyramid(batch=2, channels=3):
    return {
        level: random_map(batch, CANVAS[0] >> level, CANVAS[1] >> level, channels)
        for level in (2, 3, 4, 5)
    }


def to_torch(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, -3)).requires_grad_()


def to_numpy(x):
    return np.moveaxis(x.detach().numpy(), -3, -1)


def ours_and_gradient(pool, features, gradient):
    outputs, pull_back = jax.vjp(pool, jax.tree.map(jnp.asarray, features))
    return outputs, pull_back(jnp.asarray(gradient))[0]


def ramp(height, width):
    """Features 10 y + x: bilinear interpolation gives the point that was read."""
    y, x = np.mgrid[:height, :width]
    return jnp.asarray(10 * y + x, jnp.float32)[..., None]


def pool_ramp(box, **options):
    options = {"size": 1, "scale": 1.0} | options
    boxes = jnp.asarray([box], jnp.float32)
    return np.asarray(align(ramp(8, 8), boxes, **options))[0, ..., 0]


@pytest.mark.parametrize(
    ("side", "level"),
    [(0, 2), (1, 2), (111.9, 2), (112, 3), (224, 4), (447.9, 4), (448, 5), (5000, 5)],
)
def test_level_of_a_square_box(side, level):
    box = jnp.array([[10, 10, 10 + side, 10 + side]], jnp.float32)
    assert assign_levels(box, (2, 3, 4, 5)) == level


def test_levels_are_clamped_to_those_given_and_take_any_batch():
    boxes = jnp.tile(jnp.array([0, 0, 224, 224], jnp.float32), (2, 3, 1))
    for levels, level in (((2, 3), 3), ((4,), 4), ((5, 6), 5)):
        assigned = assign_levels(boxes, levels)
        assert assigned.dtype == jnp.int32
        np.testing.assert_array_equal(assigned, np.full((2, 3), level))


def test_levels_are_torchvisions():
    mapper = torchvision.ops.poolers.initLevelMapper(2, 5)
    powers = 7 * 2 ** np.linspace(0, 7, 500)  # 7 … 896, through 112, 224 and 448
    sides = np.stack([powers, powers[::-1]], 1)
    boxes = np.concatenate([0 * sides, sides], axis=1).astype(np.float32)
    boxes = np.concatenate([boxes, random_boxes(0, 500)])
    theirs = mapper([torch.tensor(boxes)]) + 2
    np.testing.assert_array_equal(assign_levels(jnp.array(boxes), (2, 3, 4, 5)), theirs)


def test_another_canonical_size_moves_all_levels():
    boxes = jnp.array([[0, 0, side, side] for side in (13, 14, 28, 56, 112)], float)
    levels = assign_levels(boxes, (2, 3, 4, 5), canonical_size=56)
    assert levels.tolist() == [2, 2, 3, 4, 5]
    everywhere = assign_levels(boxes, (2, 3, 4, 5))
    assert everywhere.tolist() == [2, 2, 2, 2, 3]


def test_one_sample_of_one_bin_reads_the_middle_of_the_box():
    # The middle is (y, x) = (3, 2) px.
    assert pool_ramp((1, 1, 3, 5), sampling_ratio=1) == 32
    assert pool_ramp((1, 1, 3, 5), sampling_ratio=1, scale=0.5) == 16
    # Aligned, cell (0, 0) has its features in its own middle, not at its corner.
    assert pool_ramp((1, 1, 3, 5), sampling_ratio=1, aligned=True) == 26.5


def test_bins_are_ordered_by_row_and_column():
    # Bins of (2, 1) cells: their middles are at y = 2, 4 and x = 1.5, 2.5.
    pooled = pool_ramp((1, 1, 3, 5), size=2)
    np.testing.assert_allclose(pooled, [[21.5, 22.5], [41.5, 42.5]], rtol=1e-6)


def test_sides_are_one_cell_at_least_unless_aligned():
    assert pool_ramp((2, 2, 2, 2)) == 27.5  # read at (2.5, 2.5)
    assert pool_ramp((2, 2, 1, 1)) == 27.5
    assert pool_ramp((2, 2, 2, 2), aligned=True) == 16.5  # (1.5, 1.5)


@pytest.mark.parametrize(
    ("x", "value"),
    [(-1.25, 0), (-1, 1), (-0.5, 1), (0, 1), (4, 1), (4.75, 1), (5, 1), (5.25, 0)],
)
def test_samples_more_than_one_cell_outside_count_as_0(x, value):
    # One sample, half a cell right of the box's left side, on a map 5 cells wide.
    features = jnp.ones((5, 5, 1))
    for column in (False, True):
        box = [x - 0.5, 1, x + 0.5, 2]
        box = box[1::-1] + box[:1:-1] if column else box
        pooled = align(features, jnp.array([box]), size=1, scale=1.0, sampling_ratio=1)
        assert pooled == value


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("size", "sampling_ratio"),
    [(7, 1), (7, 2), (7, 3), (14, 2), (1, 2), (7, 0), (14, 0), (1, 0)],
)
def test_features_and_gradient_are_torchvisions(size, sampling_ratio, aligned):
    features, gradient = random_map(32, 40, 3), random_map(60, size, size, 3, seed=1)
    boxes = random_boxes(0, 60)
    options = {"sampling_ratio": sampling_ratio, "aligned": aligned}
    pool = partial(align, boxes=jnp.array(boxes), size=size, scale=1 / 16)
    ours, our_gradient = ours_and_gradient(partial(pool, **options), features, gradient)

    x = to_torch(features[None])
    theirs = torchvision.ops.roi_align(
        x, [torch.tensor(boxes)], size, spatial_scale=1 / 16, **options
    )
    (their_gradient,) = torch.autograd.grad(theirs, x, to_torch(gradient))
    np.testing.assert_allclose(ours, to_numpy(theirs), atol=TOLERANCE)
    # A cell gets some ten of a bin's parts, of up to 60 boxes.
    np.testing.assert_allclose(
        our_gradient, to_numpy(their_gradient)[0], atol=TOLERANCE
    )


@pytest.mark.skipif(not COMPILED, reason="torchvision's Python reads outside the map")
@pytest.mark.parametrize("ratio", [2, 0])
def test_boxes_anywhere_are_pooled_as_torchvisions_compiled_operator_does(ratio):
    features, gradient = random_map(32, 40, 3), random_map(300, 7, 7, 3, seed=1)
    boxes = np.random.default_rng(0).uniform(-300, 900, (300, 4)).astype(np.float32)
    pool = partial(align, boxes=jnp.array(boxes), size=7, scale=1 / 16)
    pool = partial(pool, sampling_ratio=ratio)
    ours, our_gradient = ours_and_gradient(pool, features, gradient)
    x = to_torch(features[None])
    theirs = torchvision.ops.roi_align(x, [torch.tensor(boxes)], 7, 1 / 16, ratio)
    (their_gradient,) = torch.autograd.grad(theirs, x, to_torch(gradient))
    np.testing.assert_allclose(ours, to_numpy(theirs), atol=TOLERANCE)
    np.testing.assert_allclose(
        our_gradient, to_numpy(their_gradient)[0], atol=TOLERANCE
    )


@pytest.mark.parametrize("size", [7, 14])
def test_pooling_a_pyramid_is_torchvisions(size):
    pyramid, gradient = random_pyramid(), random_map(2, 50, size, size, 3, seed=1)
    boxes = random_boxes(0, 2, 50)
    assert set(np.unique(assign_levels(jnp.array(boxes), (2, 3, 4, 5)))) == {2, 3, 4, 5}
    pool = partial(align_pyramid, boxes=jnp.array(boxes), canvas=CANVAS, size=size)
    ours, our_gradient = ours_and_gradient(pool, pyramid, gradient)

    maps = {str(level): to_torch(x) for level, x in pyramid.items()}
    theirs = torchvision.ops.MultiScaleRoIAlign(list(maps), size, 2)(
        maps, list(torch.tensor(boxes)), [CANVAS, CANVAS]
    )
    their_gradient = torch.autograd.grad(
        theirs, maps.values(), to_torch(gradient.reshape(-1, size, size, 3))
    )
    np.testing.assert_allclose(
        ours.reshape(-1, size, size, 3), to_numpy(theirs), atol=TOLERANCE
    )
    for level, their in zip(pyramid, their_gradient, strict=True):
        np.testing.assert_allclose(
            our_gradient[level], to_numpy(their), atol=TOLERANCE, err_msg=f"{level}"
        )


def test_scale_of_a_level_is_the_power_of_two_next_to_its_share_of_the_canvas():
    # 208 px have 6.5 cells of 32 px; the map was rounded up to 7.
    features = random_map(1, 7, 7, 3)
    boxes = random_boxes(0, 1, 20, height=208, width=208)
    ours = align_pyramid(
        {5: jnp.array(features)}, jnp.array(boxes), canvas=(208, 208), size=7
    )
    theirs = torchvision.ops.MultiScaleRoIAlign(["0"], 7, 2)(
        {"0": to_torch(features)}, list(torch.tensor(boxes)), [(208, 208)]
    )
    np.testing.assert_allclose(ours[0], to_numpy(theirs), atol=TOLERANCE)


def test_of_levels_with_one_stride_torchvision_reads_the_first():
    # A MobileNet's pyramid. The level's number says nothing of its stride.
    first, second = random_map(1, 16, 20, 3), random_map(1, 16, 20, 3, seed=1)
    boxes = random_boxes(0, 1, 30)
    ours = align_pyramid({2: jnp.array(first)}, jnp.array(boxes), canvas=CANVAS, size=7)
    theirs = torchvision.ops.MultiScaleRoIAlign(["0", "1"], 7, 2)(
        {"0": to_torch(first), "1": to_torch(second)},
        list(torch.tensor(boxes)),
        [CANVAS],
    )
    np.testing.assert_allclose(ours[0], to_numpy(theirs), atol=TOLERANCE)


@pytest.mark.parametrize("ratio", [2, 0])
@pytest.mark.parametrize("n", [0, 1, 5, 30])
def test_gradient_is_the_transpose_for_any_boxes(n, ratio):
    # <A x, g> = <x, A' g>, boxes inside, outside, negative: 1e-5 of the sums' terms.
    boxes = jnp.array(np.random.default_rng(n).uniform(-300, 900, (n, 4)), jnp.float32)
    features, gradient = random_map(32, 40, 3), random_map(n, 3, 3, 3, seed=1)
    pool = partial(align, boxes=boxes, size=3, scale=1 / 16, sampling_ratio=ratio)
    pooled, pulled = ours_and_gradient(pool, features, gradient)
    left, right = np.sum(pooled * gradient), np.sum(features * pulled)
    terms = np.sum(np.abs(pooled * gradient))
    np.testing.assert_allclose(left, right, atol=1e-5 * max(terms, 1))


def test_boxes_get_no_gradient():
    def total(boxes):
        return align(ramp(8, 8), boxes, size=2, scale=1.0).sum()

    gradient = jax.grad(total)(jnp.array([[1.0, 1.0, 5.0, 5.0]]))
    np.testing.assert_array_equal(gradient, np.zeros((1, 4)))


@pytest.mark.parametrize("aligned", [False, True])
def test_any_box_gives_finite_features_and_gradients(aligned):
    strange = [0, -1, 1e9, -1e30, np.inf, -np.inf, np.nan]
    boxes = np.stack(np.meshgrid(*[strange] * 4), -1).reshape(1, -1, 4)
    boxes = jnp.array(boxes, jnp.float32)
    options = {"canvas": CANVAS, "size": 2, "aligned": aligned}
    pool = partial(align_pyramid, boxes=boxes, **options)
    pooled, pulled = ours_and_gradient(
        pool, random_pyramid(1), np.ones((1, len(strange) ** 4, 2, 2, 3), np.float32)
    )
    for x in jax.tree.leaves((pooled, pulled)):
        assert np.isfinite(x).all()


@pytest.mark.parametrize("aligned", [False, True])
def test_adaptive_sampling_of_any_box_gives_finite_features_and_gradients(aligned):
    strange = [-1e30, np.inf, -np.inf, np.nan]
    boxes = np.stack(np.meshgrid(*[strange] * 4), -1).reshape(-1, 4)
    pool = partial(
        align,
        boxes=jnp.array(boxes, jnp.float32),
        size=2,
        scale=1.0,
        sampling_ratio=0,
        aligned=aligned,
    )
    gradient = np.ones((len(boxes), 2, 2, 1), np.float32)
    for x in ours_and_gradient(pool, ramp(8, 8), gradient):
        assert np.isfinite(x).all()


def test_adaptive_sampling_reads_as_many_points_as_a_bin_has_cells():
    # The map is y * y: what is read tells how many points there are. A bin of 4 rows
    # from row 2 on has points at 2.5, 3.5, 4.5 and 5.5, whose values, interpolated,
    # are 6.5, 12.5, 20.5 and 30.5. Two points, 3 and 5, would give 17.
    y = jnp.arange(9, dtype=jnp.float32)
    features = jnp.broadcast_to((y * y)[:, None, None], (9, 9, 1))
    options = {"size": 1, "scale": 1.0, "sampling_ratio": 0}
    boxes = jnp.array([[2, 2, 6, 6], [1, 2, 2, 6], [3, 2, 3.5, 6.0]])
    np.testing.assert_allclose(align(features, boxes, **options).ravel(), [17.5] * 3)
    # A row more than 4: five points, 0.8125 apart, from 2.40625 on.
    points = 2 + 4.0625 * (np.arange(5) + 0.5) / 5
    expected = np.interp(points, y, y * y).mean()
    pooled = align(features, jnp.array([[2, 2, 3, 6.0625]]), **options)
    np.testing.assert_allclose(pooled.item(), expected, rtol=1e-6)


def test_adaptive_sampling_of_a_box_without_a_side_is_0_if_aligned():
    options = {"sampling_ratio": 0, "aligned": True}
    for box in ((2, 2, 2, 5), (2, 2, 5, 2), (5, 5, 2, 2)):
        assert pool_ramp(box, **options) == 0
    thin = pool_ramp((2, 2, 2.25, 5), **options)  # its middle is (3, 1.625)
    np.testing.assert_allclose(thin, 31.625, rtol=1e-6)


def test_adaptive_sampling_gives_a_box_the_same_whatever_boxes_are_beside_it():
    features = random_map(64, 80, 3)
    boxes = random_boxes(0, 40, height=256, width=320)
    boxes[7] = [0, 0, 320, 256]
    options = {"size": 7, "scale": 1 / 4, "sampling_ratio": 0, "aligned": True}
    together = align(features, jnp.array(boxes), **options)
    for i in (0, 7, 39):
        alone = align(features, jnp.array(boxes[i : i + 1]), **options)
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


def test_bfloat16_features_are_weighted_and_summed_in_float32():
    features = jnp.array(random_map(8, 8, 3), jnp.bfloat16)
    boxes = jnp.array(random_boxes(0, 20, height=128, width=128))
    pool = partial(align, boxes=boxes, size=7, scale=1 / 16)
    pooled = pool(features)
    assert pooled.dtype == jnp.bfloat16
    exact = pool(features.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(pooled, exact)


def test_bfloat16_gradients_are_added_in_float32():
    # 1000 boxes read one cell each; bfloat16 counts to 256 only.
    boxes = jnp.tile(jnp.array([[2.0, 2, 3, 3]]), (1000, 1))
    pool = partial(
        align, boxes=boxes, size=1, scale=1.0, sampling_ratio=1, aligned=True
    )
    features, gradient = (
        jnp.ones(s, jnp.bfloat16) for s in ((4, 4, 1), (1000, 1, 1, 1))
    )
    _, pulled = ours_and_gradient(pool, features, gradient)
    assert pulled.dtype == jnp.bfloat16
    expected = np.zeros((4, 4, 1))
    expected[2, 2] = 1000
    np.testing.assert_array_equal(pulled.astype(np.float32), expected)


@pytest.mark.parametrize("ratio", [2, 0])
def test_a_batch_is_each_of_its_images(ratio):
    pyramid = jax.tree.map(jnp.array, random_pyramid())
    boxes = jnp.array(random_boxes(0, 2, 10))
    pool = partial(align_pyramid, canvas=CANVAS, size=3, sampling_ratio=ratio)
    together = pool(pyramid, boxes)
    for i in range(2):
        one = {level: x[i : i + 1] for level, x in pyramid.items()}
        # Two programs may fuse multiply-adds differently.
        np.testing.assert_allclose(
            together[i], pool(one, boxes[i : i + 1])[0], atol=1e-5
        )


def test_no_gathered_window_is_stored():
    # 16 rows for each bin of each box would be 40 MB both ways; output 2.5 MB, maps 7.
    pyramid = jax.tree.map(jnp.array, random_pyramid(1, channels=64))
    boxes = jnp.array(random_boxes(0, 1, 200))
    pool = partial(align_pyramid, boxes=boxes, canvas=CANVAS, size=7)

    def pull_back(pyramid, gradient):
        return jax.vjp(pool, pyramid)[1](gradient)

    gradient = jnp.ones((1, 200, 7, 7, 64))
    for program in (
        jax.jit(pool).lower(pyramid),
        jax.jit(pull_back).lower(pyramid, gradient),
    ):
        assert program.compile().memory_analysis().temp_size_in_bytes < 20e6


@pytest.mark.parametrize(
    "name, given, least", [("size", 0, 1), ("sampling_ratio", -1, 0)]
)
def test_a_size_or_ratio_that_is_too_low_is_refused(name, given, least):
    boxes, options = jnp.zeros((1, 1, 4)), {"size": 7, name: given}
    with pytest.raises(ValueError, match=f"{name} is {given}, not {least} or more"):
        align(ramp(8, 8), boxes[0], scale=1.0, **options)
    with pytest.raises(ValueError, match=f"{name} is {given}, not {least} or more"):
        align_pyramid({3: ramp(8, 8)[None]}, boxes, canvas=(64, 64), **options)


@pytest.mark.parametrize("levels", [(), (2, 4)])
def test_levels_with_a_gap_are_refused(levels):
    pyramid = {level: jnp.zeros((1, 8, 8, 1)) for level in levels}
    with pytest.raises(ValueError, match="not consecutive"):
        align_pyramid(pyramid, jnp.zeros((1, 1, 4)), canvas=(64, 64), size=7)
