"""Keypoint targets and peaks, by hand and against torchvision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.keypoints import decode_keypoints, keypoint_targets
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

roi_heads = torchvision.models.detection.roi_heads


def test_cells_by_hand():
    # A box of 10 x 20 px in 5 x 5 cells of 2 x 4 px.
    box = jnp.array([[100.0, 200, 110, 220]])
    points = [(100, 200), (101.9, 203.9), (102, 200), (100, 204), (110, 220)]
    keypoints = jnp.array([[(x, y, 2) for x, y in points]], jnp.float32)
    cells, valid = keypoint_targets(keypoints, box, size=5)
    np.testing.assert_array_equal(cells[0], [0, 0, 1, 5, 24])  # the last: the border
    assert valid.all()


def test_keypoints_outside_or_not_annotated_do_not_count():
    box = jnp.array([[100.0, 200, 110, 220]])
    inside = (105, 210)
    points = [(*inside, 1), (*inside, 0), (99.9, 210, 2), (110.1, 210, 2), (0, 0, 0)]
    keypoints = jnp.array([points], jnp.float32)
    cells, valid = keypoint_targets(keypoints, box, size=5)
    np.testing.assert_array_equal(valid[0], [True, False, False, False, False])
    np.testing.assert_array_equal(cells[0], [12, 0, 0, 0, 0])


@pytest.mark.parametrize("whole_pixels", [True, False])
def test_cells_equal_torchvisions(whole_pixels):
    random = np.random.default_rng(0)
    low = random.uniform(0, 50, (40, 2))
    boxes = np.concatenate([low, low + random.uniform(5, 90, (40, 2))], axis=1)
    points = random.uniform(-10, 130, (40, 17, 2))
    if whole_pixels:  # many on a border of the box or of a cell
        boxes, points = boxes.round(), points.round()
    visibility = random.integers(0, 3, (40, 17, 1))
    keypoints = np.concatenate([points, visibility], axis=2).astype(np.float32)
    boxes = boxes.astype(np.float32)
    cells, valid = keypoint_targets(jnp.asarray(keypoints), jnp.asarray(boxes), size=56)
    their_cells, their_valid = roi_heads.keypoints_to_heatmap(
        torch.from_numpy(keypoints), torch.from_numpy(boxes), 56
    )
    np.testing.assert_array_equal(valid, their_valid.numpy().astype(bool))
    np.testing.assert_array_equal(cells, their_cells.numpy())
    assert valid.any() and not valid.all()


def test_padding_boxes_have_no_keypoints():
    keypoints = jnp.array([[(0.0, 0, 0), (5, 5, 2)]])
    _, valid = keypoint_targets(keypoints, jnp.zeros((1, 4)), size=5)
    assert not valid.any()


def heatmaps(number: int, points: int, *, kind: str, size: int = 56) -> np.ndarray:
    """Returns maps [n, s, s, p]: "peak", as a trained head's; "noise"; "rough"."""
    random = np.random.default_rng(1)
    noise = random.normal(size=(number, points, size // 2, size // 2))
    if kind == "rough":
        return random.normal(size=(number, size, size, points)).astype(np.float32)
    if kind == "peak":
        y, x = np.mgrid[: size // 2, : size // 2]
        cy, cx = random.uniform(0, size / 2, (2, number, points, 1, 1))
        noise = 0.2 * noise + 10 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
    maps = jnp.moveaxis(jnp.asarray(noise, jnp.float32), 1, -1)
    shape = (number, size, size, points)
    return np.asarray(jax.image.resize(maps, shape, "bilinear"))


def random_boxes(number: int, *, largest: float) -> np.ndarray:
    random = np.random.default_rng(2)
    low = random.uniform(0, 100, (number, 2))
    side = np.exp(random.uniform(np.log(0.3), np.log(largest), (number, 2)))
    return np.concatenate([low, low + side], axis=1).astype(np.float32)


def their_keypoints(maps, boxes):
    points, scores = roi_heads.heatmaps_to_keypoints(
        torch.from_numpy(maps.transpose(0, 3, 1, 2).copy()), torch.from_numpy(boxes)
    )
    return points[..., :2].numpy(), scores.numpy()


decode = jax.jit(decode_keypoints)


@pytest.mark.parametrize("kind", ["peak", "noise", "rough"])
@pytest.mark.parametrize("largest", [40, 300])
def test_peaks_equal_torchvisions(kind, largest):
    maps, boxes = heatmaps(12, 5, kind=kind), random_boxes(12, largest=largest)
    points, scores = decode(maps, boxes)
    their_points, their_scores = their_keypoints(maps, boxes)
    # The same pixel, so that only the scaling back is rounded.
    np.testing.assert_allclose(points, their_points, atol=1e-4)
    np.testing.assert_allclose(scores, their_scores, atol=1e-5)


def test_peaks_of_the_largest_boxes_equal_torchvisions():
    maps = heatmaps(2, 3, kind="peak")
    boxes = np.array([[0, 0, 1333, 800], [10.2, 3.4, 700.9, 1300.1]], np.float32)
    points, scores = decode(maps, boxes)
    their_points, their_scores = their_keypoints(maps, boxes)
    np.testing.assert_allclose(points, their_points, atol=5e-4)
    np.testing.assert_allclose(scores, their_scores, atol=1e-5)


def spikes(*cells_and_heights: tuple[int, int, float]) -> np.ndarray:
    """Returns one map of 56 x 56 cells, zero but for cells (y, x, height)."""
    heatmap = np.zeros((56, 56, 1), np.float32)
    for y, x, height in cells_and_heights:
        heatmap[y, x] = height
    return heatmap


def decode_on_56_pixels(*maps):
    """Returns the keypoints in a box of 56 x 56 px at 0: its pixels are the cells."""
    points, scores = decode(np.stack(maps), np.array([[0, 0, 56, 56]] * 2, np.float32))
    return points[:, 0], scores[:, 0]


@pytest.mark.parametrize("first, second", [((0, 0), (0, 55)), ((55, 0), (55, 55))])
def test_a_peak_in_a_corner_is_found_there(first, second):
    points, scores = decode_on_56_pixels(spikes((*first, 1)), spikes((*second, 2)))
    for point, (y, x) in zip(points, (first, second), strict=True):
        np.testing.assert_allclose(point, [x + 0.5, y + 0.5], atol=1e-5)
    np.testing.assert_allclose(scores, [1, 2], atol=1e-5)


def test_two_far_peaks_are_both_looked_at():
    points, _ = decode_on_56_pixels(
        spikes((5, 50, 1.1), (50, 5, 1)), spikes((5, 50, 1), (50, 5, 1.1))
    )
    np.testing.assert_allclose(points, [[50.5, 5.5], [5.5, 50.5]], atol=1e-5)


def test_the_first_of_equal_peaks_wins():
    # By rows, be they in one tile or in two.
    points, _ = decode_on_56_pixels(
        spikes((10, 50, 1), (40, 5, 1)), spikes((7, 9, 1), (7, 3, 1), (8, 2, 1))
    )
    np.testing.assert_allclose(points, [[50.5, 10.5], [3.5, 7.5]], atol=1e-5)


def test_flat_maps_give_a_pixel_of_the_box():
    flat = np.full((2, 56, 56, 1), 0.3, np.float32)
    points, scores = decode(flat, np.array([[10, 20, 80, 50]] * 2, np.float32))
    low, high = jnp.array([[[10, 20]]]), jnp.array([[[80, 50]]])
    assert ((points > low) & (points < high)).all()
    np.testing.assert_allclose(scores, 0.3, atol=1e-6)


def test_padding_changes_nothing_and_is_finite():
    maps, boxes = heatmaps(6, 2, kind="noise"), random_boxes(6, largest=90)
    alone = decode(maps[:3], boxes[:3])
    boxes[3:] = [0, 0, 0, 0]
    padded = decode(maps, boxes)
    for ours, theirs in zip(padded, alone, strict=True):
        np.testing.assert_array_equal(ours[:3], theirs)
        np.testing.assert_array_equal(ours[3:], 0)


def test_without_any_box_nothing_is_searched():
    points, scores = decode(heatmaps(2, 1, kind="noise"), np.zeros((2, 4), np.float32))
    assert not points.any() and not scores.any()


def test_the_value_at_a_peak_has_the_gradient_of_the_map():
    # The box has the pixels of the map: the value is that of one pixel.
    heatmap = jnp.zeros((1, 6, 6, 1)).at[0, 2, 3, 0].set(5.0)
    boxes = jnp.array([[10.0, 20, 16, 26]])
    value = lambda x: decode_keypoints(x, boxes)[1].sum()  # noqa: E731
    gradient = jax.jit(jax.grad(value))(heatmap)
    np.testing.assert_allclose(gradient[0, :, :, 0], heatmap[0, :, :, 0] / 5, atol=1e-6)


def test_a_keypoint_that_is_not_annotated_may_hold_anything():
    keypoints = jnp.array([[[jnp.nan, jnp.inf, 0], [1, 1, 2]]])
    cells, valid = keypoint_targets(keypoints, jnp.array([[0.0, 0, 4, 4]]), size=4)
    np.testing.assert_array_equal(valid, [[False, True]])
    np.testing.assert_array_equal(cells, [[0, 5]])
