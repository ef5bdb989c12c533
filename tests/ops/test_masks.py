"""Mask targets, by hand and against torchvision's `project_masks_on_boxes`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpn_jax.ops.masks import mask_targets
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()

project = torchvision.models.detection.roi_heads.project_masks_on_boxes


def targets(masks, boxes, index=None, *, size, regions=None):
    boxes = jnp.asarray(boxes, jnp.float32)
    index = jnp.zeros(len(boxes), jnp.int32) if index is None else jnp.asarray(index)
    regions = None if regions is None else jnp.asarray(regions, jnp.float32)
    cut = jax.jit(partial(mask_targets, size=size))
    return np.asarray(cut(jnp.asarray(masks), boxes, index, regions=regions))


def blobs(number: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns bitmaps of smooth random outline, which fill about half of the canvas."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 0
    for _ in range(6):
        fy, fx = (
            random.normal(0, 4 / height, number),
            random.normal(0, 4 / width, number),
        )
        phase = random.uniform(0, 2 * np.pi, number)
        angle = fy[:, None, None] * y + fx[:, None, None] * x
        waves = waves + np.sin(2 * np.pi * angle + phase[:, None, None])
    return (waves > 0).astype(np.uint8)


def random_boxes(number: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Returns boxes of side 0.2 … the canvas, inside of it."""
    random = np.random.default_rng(seed)
    canvas = np.array([width, height])
    side = np.exp(random.uniform(np.log(0.2), np.log(canvas), (number, 2)))
    low = random.uniform(0, 1, (number, 2)) * (canvas - side)
    return np.concatenate([low, low + side], axis=1).astype(np.float32)


def test_cells_of_two_pixels_by_hand():
    # Columns 0, 1, 0, 1 … A cell of 2 px has samples 1/2 and 3/2 behind its start, each
    # half way between two pixels.
    masks = np.tile(np.arange(8) % 2, (1, 8, 1))
    whole = targets(masks, [[0, 0, 8, 8]], size=4)[0]
    # The last sample, at 7.5, is beyond the last pixel and has its value.
    np.testing.assert_allclose(whole, [[0.5, 0.5, 0.5, 0.75]] * 4)
    # 2.5 px a cell: three samples, 5/12, 15/12, 25/12 behind its start.
    first = targets(masks, [[0, 0, 5, 5]], size=2)[0, 0, 0]
    np.testing.assert_allclose(first, (5 / 12 + 9 / 12 + 1 / 12) / 3, rtol=1e-6)


def test_each_box_is_cut_out_of_its_own_mask():
    masks = np.stack([np.zeros((6, 6)), np.ones((6, 6))]).astype(np.uint8)
    found = targets(masks, [[1, 1, 4, 4]] * 3, [1, 0, 1], size=2)
    np.testing.assert_array_equal(found[:, 0, 0], [1, 0, 1])


def test_a_side_of_three_pixels_a_cell_has_three_samples():
    # 84 / 28 is 3; by XLA's rounded 1 / 28 it would be a little more, and 4 samples.
    # Columns 0, 0, 1, 0, 0, 1 …; the first cell begins at column 14, which is 1, and
    # its samples at 14.5, 15.5 and 16.5 see a half, nothing and a half.
    columns = np.arange(120) % 3 == 2
    masks = np.tile(columns, (1, 120, 1)).astype(np.uint8)
    found = targets(masks, [[14, 14, 98, 98]], size=28)[0, 0]
    np.testing.assert_allclose(found, 1 / 3, atol=1e-5)
    # The weights of its pixels, not their sum alone: a column lit for the first cell.
    masks[:] = np.arange(120) == 14
    found = targets(masks, [[14, 14, 98, 98]], size=28)[0, 0]
    np.testing.assert_allclose(found[:2], [1 / 6, 0], atol=1e-6)


def test_a_sample_one_pixel_outside_has_the_value_at_the_border():
    masks = np.ones((1, 20, 20), np.uint8)
    # Cells of 3 px. Along x the samples are at -2, -1, 0, and at 19, 20, 21.
    found = targets(masks, [[-2.5, 3, 9.5, 15], [18.5, 3, 30.5, 15]], size=4)
    np.testing.assert_allclose(found[0, 0], [2 / 3, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(found[1, 0], [2 / 3, 0, 0, 0], atol=1e-6)


def test_beyond_one_pixel_outside_of_the_bitmap_is_nothing():
    masks = np.ones((1, 4, 4), np.uint8)
    # One sample a cell, at -3.5, -2.5 … 7.5 along both axes.
    inside = targets(masks, [[-4, -4, 8, 8]], size=12)[0]
    expected = np.zeros(12)
    expected[3:8] = 1  # -0.5 … 3.5: the border's value within a pixel of it
    np.testing.assert_array_equal(inside, np.outer(expected, expected))


def their_targets(masks, boxes, index, size) -> np.ndarray:
    """Returns torchvision's, box by box: in Python they take much memory."""
    arrays = [torch.from_numpy(x) for x in (masks, boxes, index)]
    with torch.compiler.set_stance("force_eager"):
        each = [
            project(arrays[0], box[None], row[None], size)
            for box, row in zip(*arrays[1:], strict=True)
        ]
    return torch.cat(each).numpy()


@pytest.mark.parametrize("canvas, size", [((64, 96), 14), ((170, 120), 7)])
def test_targets_equal_torchvisions(canvas, size):
    masks, boxes = blobs(3, *canvas), random_boxes(15, *canvas)
    index = np.arange(15) % 3
    ours = targets(masks, boxes, index, size=size)
    theirs = their_targets(masks, boxes, index, size)
    # Sample positions of up to 170 are known to 1e-5 pixels.
    np.testing.assert_allclose(ours, theirs, atol=5e-5)
    assert 0.2 < ours.mean() < 0.8


def test_a_region_of_whole_pixels_says_what_the_canvas_says():
    masks = np.zeros((1, 60, 80), np.uint8)
    masks[0, 20:41, 10:51] = blobs(1, 21, 41)[0]
    boxes = [[10, 20, 51, 41], [5, 15, 60, 30], [20.3, 22.2, 33.1, 60]]
    whole = targets(masks, boxes, size=14)
    # A margin of one pixel, so that nothing is repeated at the region's border.
    part = targets(masks[:, 19:42, 9:52], boxes, size=14, regions=[[9, 19, 52, 42]])
    np.testing.assert_allclose(part, whole, atol=1e-5)


@pytest.mark.parametrize("resolution, tolerance", [(56, 0.01), (224, 0.003)])
def test_a_region_at_another_resolution_says_nearly_the_same(resolution, tolerance):
    # The truth is a disk in a box of 160 px, drawn at both resolutions.
    def disk(side):
        y, x = np.mgrid[:side, :side] + 0.5
        return (np.hypot(x - side / 2, y - side / 2) < side / 2).astype(np.uint8)

    canvas = np.zeros((1, 200, 240), np.uint8)
    canvas[0, 20:180, 40:200] = disk(160)
    boxes = [[40, 20, 200, 180], [30, 10, 180, 170], [100, 60, 239, 199]]
    whole = targets(canvas, boxes, size=28)
    region = [[40, 20, 200, 180]]
    part = targets(disk(resolution)[None], boxes, size=28, regions=region)
    # The outline's cells, about a tenth of all, differ by parts of a coarser pixel.
    assert np.abs(part - whole).mean() < tolerance


def test_padding_is_finite():
    found = targets(np.ones((2, 4, 4), np.uint8), np.zeros((3, 4)), size=2)
    assert np.isfinite(found).all()
    region = np.zeros((2, 4))
    found = targets(
        np.ones((2, 4, 4), np.uint8), np.zeros((3, 4)), size=2, regions=region
    )
    assert np.isfinite(found).all()


def test_a_batch_is_its_images():
    masks = np.stack([blobs(2, 30, 40, seed) for seed in (1, 2)])
    boxes = np.stack([random_boxes(5, 30, 40, seed) for seed in (3, 4)])
    index = np.array([[0, 1, 0, 1, 1], [1, 1, 0, 0, 0]])
    batch = jax.vmap(partial(mask_targets, size=7))(masks, boxes, index)
    for i in range(2):
        alone = targets(masks[i], boxes[i], index[i], size=7)
        np.testing.assert_allclose(batch[i], alone, atol=1e-6)
