import json

import numpy as np
import pytest

from fpn_jax.data.bitmaps import (
    crop_masks,
    decode_segmentation,
    encode_rle,
    paste_masks,
    resize_masks,
)
from fpn_jax.parity.live_torchvision import import_torchvision

torch, torchvision = import_torchvision()


def _blobs(seed, height=37, width=53):
    """Random smooth bitmaps, with holes and several parts."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in range(-3, 4))
    return noise > 0


def test_polygons_by_hand():
    # Corners of pixels; the second polygon is joined to the first.
    polygons = [[1, 1, 3, 1, 3, 4, 1, 4], [4, 0, 5, 0, 5, 2, 4, 2]]
    expected = [
        [0, 0, 0, 0, 1, 0],
        [0, 1, 1, 0, 1, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    bitmap = decode_segmentation(polygons, 5, 6)
    assert bitmap.dtype == np.bool_
    np.testing.assert_array_equal(bitmap, expected)


def test_runs_go_down_the_columns():
    rle = {"size": [3, 4], "counts": [4, 3, 5]}
    bitmap = decode_segmentation(rle, 3, 4)
    expected = [[0, 0, 1, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_array_equal(bitmap, expected)


@pytest.mark.parametrize("seed", range(5))
def test_decoding_an_encoding_gives_the_bitmap(seed):
    bitmap = _blobs(seed)
    rle = json.loads(json.dumps(encode_rle(bitmap)))
    np.testing.assert_array_equal(decode_segmentation(rle, *bitmap.shape), bitmap)


def test_empty_and_full_bitmaps_survive_the_encoding():
    for bitmap in (np.zeros((4, 3), np.bool_), np.ones((4, 3), np.bool_)):
        rle = encode_rle(bitmap)
        np.testing.assert_array_equal(decode_segmentation(rle, 4, 3), bitmap)


def test_encodings_and_polygons_are_those_of_pycocotools():
    from pycocotools import mask as reference

    rng = np.random.default_rng(3)
    for seed in range(5):
        bitmap = _blobs(seed)
        theirs = reference.encode(np.asfortranarray(bitmap, np.uint8))
        assert encode_rle(bitmap)["counts"] == theirs["counts"].decode()
        # Some corners lie outside of the image.
        polygons = rng.uniform(-10, 60, (2, 10)).tolist()
        theirs = reference.merge(reference.frPyObjects(polygons, 37, 53))
        np.testing.assert_array_equal(
            decode_segmentation(polygons, 37, 53), reference.decode(theirs)
        )


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "must be polygons or a run-length encoding"),
        (None, "must be polygons or a run-length encoding"),
        ([[0, 0, 4, 4]], "polygon of 4 numbers, must be 6, 8, 10"),
        ([[0, 0, 4, 4, 5, 5, 6]], "polygon of 7 numbers"),
        ([[0, 0, 4, 4, 5, float("nan")]], "must be of numbers below 100000"),
        ([[0, 0, 4, 4, 5, 1e9]], "must be of numbers below 100000"),
        ([[0, 0, 4, 4, 5, "6"]], "must be a list of numbers"),
        ([7], "polygon 7 must be a list of numbers"),
        ([[[0, 0], [4]]], "must be a list of numbers"),
        ({"counts": [30]}, r"size None must be the image's \[5, 6\]"),
        ({"size": [6, 5], "counts": [30]}, r"size \[6, 5\] must be"),
        ({"size": [5, 6], "counts": [29]}, "counts add up to 29, must be 5 x 6"),
        ({"size": [5, 6], "counts": [31, -1]}, "integers >= 0"),
        ({"size": [5, 6]}, "counts None must be text or a list"),
        ({"size": [5, 6], "counts": ";2"}, "counts add up to 13, must be 5 x 6"),
        ({"size": [5, 6], "counts": "é"}, "no compressed run lengths"),
        ({"size": [5, 6], "counts": ""}, "no compressed run lengths"),
        ({"size": [5, 6], "counts": "U"}, "no compressed run lengths"),
        ({"size": [5, 6], "counts": "p" * 50}, "no compressed run lengths"),
        ({"size": [5, 6], "counts": "O1"}, "no compressed run lengths"),
    ],
)
def test_a_wrong_segmentation_is_named_in_one_line(segmentation, message):
    with pytest.raises(ValueError, match=rf"^segmentation: [^\n]*{message}[^\n]*$"):
        decode_segmentation(segmentation, 5, 6)


def test_pasting_is_torchvisions():
    rng = np.random.default_rng(0)
    reference = torchvision.models.detection.roi_heads.paste_masks_in_image
    # Smooth, as networks give them; noise would hide an offset of half a pixel.
    y, x = np.mgrid[:28, :28] / 27
    phase = rng.uniform(0, 6, (60, 4, 1, 1))
    waves = np.sin(6 * x + phase[:, 0]) + np.sin(5 * y + phase[:, 1])
    masks = (1 / (1 + np.exp(-3 * waves))).astype(np.float32)
    # Many reach out of the image; torchvision fails where none of a box is inside.
    centers, halves = rng.uniform(0, 120, (60, 2)), rng.uniform(1, 60, (60, 2))
    halves[:10] = rng.uniform(0, 1.0, (10, 2))  # down to a pixel
    boxes = np.concatenate([centers - halves, centers + halves], axis=1)
    boxes[5] = [0, 0, 150, 120]  # the image itself
    boxes = boxes.astype(np.float32)
    theirs = reference(
        torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), (120, 150)
    )[:, 0].numpy()
    ours = paste_masks(masks, boxes, 120, 150)
    assert ours.shape == (60, 120, 150) and ours.any(axis=(1, 2)).sum() > 40
    # Within float32 rounding of the interpolation, one half may fall on either side.
    decided = np.abs(theirs - 0.5) > 1e-5
    assert (~decided).mean() < 1e-4
    np.testing.assert_array_equal(ours[decided], (theirs > 0.5)[decided])


def test_pasting_by_hand():
    # A full mask with cells of 10 px: the fade to its border of zeros passes one half
    # where the box ends, and sooner in the corners.
    full = np.ones((1, 28, 28), np.float32)
    bitmap = paste_masks(full, np.float32([[20, 30, 300, 310]]), 400, 400)[0]
    ys, xs = np.nonzero(bitmap)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == [20, 30, 301, 311]
    assert bitmap[40:301, 20:301].all() and bitmap[30:311, 30:291].all()
    assert not bitmap[30, 20]


def test_no_masks_paste_to_none():
    pasted = paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), 20, 30)
    assert pasted.shape == (0, 20, 30) and pasted.dtype == np.bool_


def test_a_mask_outside_of_the_image_pastes_to_nothing():
    boxes = np.float32([[-90, 0, -50, 20], [40, 0, 60, 20], [0, 50, 20, 90]])
    pasted = paste_masks(np.ones((3, 28, 28), np.float32), boxes, 20, 30)
    assert not pasted.any()


def test_a_crop_by_hand():
    # Cells of 2 x 1 pixels; half of the first and of the last column is covered.
    mask = np.zeros((6, 9), np.bool_)
    mask[2, 1:8] = True
    mask[4, 2:4] = True
    crop = crop_masks(mask[None], np.float32([[0, 2, 8, 6]]), 4)[0]
    np.testing.assert_array_equal(
        crop, [[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    )


def test_a_crop_of_as_many_cells_as_pixels_is_the_mask():
    mask = _blobs(0, 40, 50)
    crop = crop_masks(mask[None], np.float32([[13, 5, 45, 37]]), 32)[0]
    np.testing.assert_array_equal(crop, mask[5:37, 13:45])


@pytest.mark.parametrize("seed", range(4))
def test_a_cell_is_true_where_half_of_it_is_covered(seed):
    # The share of 20 x 20 points of each cell, for boxes between pixels of any size.
    rng = np.random.default_rng(seed)
    mask = _blobs(seed, 90, 120)
    low = rng.uniform(0, 50, 2)
    box = np.concatenate([low, low + rng.uniform(2, 40, 2)]).astype(np.float32)
    crop = crop_masks(mask[None], box[None], 12)[0]
    share = (np.arange(12 * 20) + 0.5) / (12 * 20)
    xs, ys = (box[i] + (box[i + 2] - box[i]) * share for i in (0, 1))
    points = mask[ys.astype(int)[:, None], xs.astype(int)]
    covered = points.reshape(12, 20, 12, 20).mean(axis=(1, 3))
    clear = np.abs(covered - 0.5) > 0.05  # what 20 points cannot resolve
    assert clear.sum() > 100
    np.testing.assert_array_equal(crop[clear], (covered > 0.5)[clear])


def test_a_crop_pasted_back_is_the_mask():
    y, x = np.mgrid[:200, :300] + 0.5
    mask = ((x - 140) / 80) ** 2 + ((y - 80) / 40) ** 2 < 1
    box = np.float32([[60, 40, 220, 120]])
    crop = crop_masks(mask[None], box, 112).astype(np.float32)
    again = paste_masks(crop, box, 200, 300)[0]
    iou = (mask & again).sum() / (mask | again).sum()
    # The edge: a box is a pixel larger when torchvision pastes into it.
    assert iou > 0.97


def test_a_box_a_hair_outside_of_the_image_is_cropped():
    mask = np.ones((20, 30), np.bool_)
    crop = crop_masks(mask[None], np.float32([[0, 0, 30.00001, 20.00001]]), 8)
    assert crop.all()


def test_a_resized_mask_is_true_where_half_of_a_pixel_is_covered():
    mask = np.zeros((1, 4, 8), np.bool_)
    mask[0, :2, 1:7] = True
    mask[0, 2, 3] = True
    halved = resize_masks(mask, 2, 4)[0]
    np.testing.assert_array_equal(halved, [[1, 1, 1, 1], [0, 0, 0, 0]])
    tripled = resize_masks(mask, 12, 24)[0]
    np.testing.assert_array_equal(tripled, np.repeat(np.repeat(mask[0], 3, 0), 3, 1))


def test_no_masks_are_cropped_and_resized_to_none():
    none = np.zeros((0, 20, 30), np.bool_)
    assert crop_masks(none, np.zeros((0, 4), np.float32), 7).shape == (0, 7, 7)
    assert resize_masks(none, 10, 15).shape == (0, 10, 15)
