from functools import partial

import numpy as np
import pytest

from fpn_jax.data.example import KeypointSpec
from fpn_jax.data.mixing import MixUp, Mosaic
from fpn_jax.data.transforms import (
    ColorJitter,
    FitCanvas,
    HorizontalFlip,
    RandomCrop,
    ScaleJitter,
    fit_scale_either_way,
    fitted_size,
    resize_as_torch,
    turned,
)
from fpn_jax.parity.live_torchvision import import_torchvision
from tests.support.painted_example import painted_example

torch, torchvision = import_torchvision()

ONE = [[30, 20, 90, 70]]


def _painted_box(image):
    ys, xs = np.nonzero(image[..., 0] >= 50)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def _mask_box(mask):
    ys, xs = np.nonzero(mask)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


# The corners of the object in ONE: seen, hidden, none, and one outside of its box.
POINTS = KeypointSpec(names=("left", "right", "middle", "tip"), flip=(1, 0, 2, 3))
CORNERS = np.float32([[[30, 20, 2], [90, 70, 1], [0, 0, 0], [100, 10, 2]]])


def _with_keypoints():
    return painted_example(ONE, keypoints=CORNERS, keypoint_spec=POINTS)


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_what_has_a_canvas_is_turned_with_it():
    jitter = ScaleJitter((64, 96), 0.5, 2)
    upright = ScaleJitter((96, 64), 0.5, 2)
    assert turned(jitter) == upright
    assert turned(HorizontalFlip(0.3)) == HorizontalFlip(0.3)
    mixup = MixUp(None, (HorizontalFlip(), jitter), 0.2)
    assert turned(mixup) == MixUp(None, (HorizontalFlip(), upright), 0.2)
    assert turned(Mosaic(None, (64, 96))) == Mosaic(None, (96, 64))


def test_a_flip_by_hand():
    flipped = HorizontalFlip(1.0)(painted_example(ONE), _rng())
    assert flipped.boxes.tolist() == [[70, 20, 130, 70]]
    assert _painted_box(flipped.image) == [70, 20, 130, 70]


def test_a_flip_exchanges_left_and_right():
    flipped = HorizontalFlip(1.0)(_with_keypoints(), _rng())
    expected = [[70, 70, 1], [130, 20, 2], [0, 0, 0], [60, 10, 2]]
    assert flipped.keypoints[0].tolist() == expected
    assert _mask_box(flipped.masks[0]) == [70, 20, 130, 70]


def test_a_flip_of_keypoints_nobody_named_is_an_error():
    example = painted_example(ONE, keypoints=CORNERS)
    with pytest.raises(ValueError, match="^keypoints of painted: a flip needs their"):
        HorizontalFlip(1.0)(example, _rng())


def test_two_flips_change_nothing():
    example = painted_example([[30, 20, 90, 70], [0, 0, 5, 9]])
    twice = HorizontalFlip(1.0)(HorizontalFlip(1.0)(example, _rng()), _rng())
    np.testing.assert_array_equal(twice.image, example.image)
    np.testing.assert_array_equal(twice.boxes, example.boxes)
    np.testing.assert_array_equal(twice.masks, example.masks)
    again = HorizontalFlip(1.0)(HorizontalFlip(1.0)(_with_keypoints(), _rng()), _rng())
    np.testing.assert_array_equal(again.keypoints, CORNERS)


def test_a_flip_happens_as_often_as_asked():
    rng, example = _rng(), painted_example(ONE)
    changed = [HorizontalFlip(0.3)(example, rng) is not example for _ in range(1000)]
    assert 0.25 < np.mean(changed) < 0.35  # three standard deviations are 0.043


@pytest.mark.parametrize("side", [1333, 640])
def test_sizes_and_pixels_are_torchvisions(side):
    rng = _rng(2)
    reference = torchvision.models.detection.transform.GeneralizedRCNNTransform(
        min_size=side, max_size=side, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    # The last two are rounded down because of the last bit of the scale.
    shapes = [(480, 640), (427, 640), (333, 1000), (206, 634), (1232, 1603)]
    for height, width in shapes:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        example = painted_example(ONE, image=image, masks=None)
        ours = FitCanvas((side, side))(example, rng)
        tensor = torch.from_numpy(image).permute(2, 0, 1).float()
        target = {"boxes": torch.from_numpy(example.boxes)}
        theirs, target = reference.resize(tensor, target)
        assert ours.image.shape[:2] == tuple(theirs.shape[1:])
        # Half a level of rounding to uint8, and OpenCV's 11-bit weights.
        expected = theirs.permute(1, 2, 0).numpy()
        np.testing.assert_allclose(ours.image, expected, atol=1.0)
        np.testing.assert_allclose(ours.boxes, target["boxes"].numpy(), rtol=1e-6)


@pytest.mark.parametrize("shape", [(260, 640), (427, 240), (130, 160), (900, 1600)])
def test_float_images_are_resized_as_torch_does_to_the_rounding(shape):
    image = _rng().uniform(0, 255, (*shape, 3)).astype(np.float32)
    scale = fit_scale_either_way(shape, (800, 1333))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image.transpose(2, 0, 1).copy())[None],
        scale_factor=scale,
        mode="bilinear",
        recompute_scale_factor=True,
    )
    expected = theirs[0].permute(1, 2, 0).numpy()
    # Three steps of float32 at 255. OpenCV, exact, would be up to 6e-3 away.
    np.testing.assert_allclose(
        resize_as_torch(image, scale), expected, atol=5e-5, rtol=0
    )


@pytest.mark.parametrize("canvas", [(60, 200), (480, 480), (121, 1000)])
def test_fitting_fills_one_side_and_moves_boxes_with_their_pixels(canvas):
    fitted = FitCanvas(canvas)(painted_example(ONE), _rng())
    height, width = fitted.image.shape[:2]
    assert height <= canvas[0] and width <= canvas[1]
    assert height >= canvas[0] - 1 or width >= canvas[1] - 1  # rounded down
    # One pixel: an edge is blurred by the interpolation.
    np.testing.assert_allclose(fitted.boxes[0], _painted_box(fitted.image), atol=1)
    # Half a pixel: one belongs to the mask if half of it is covered.
    np.testing.assert_allclose(fitted.boxes[0], _mask_box(fitted.masks[0]), atol=0.5)


def test_keypoints_grow_with_the_image():
    doubled = FitCanvas((240, 320))(_with_keypoints(), _rng())
    expected = [[60, 40, 2], [180, 140, 1], [0, 0, 0], [200, 20, 2]]
    assert doubled.keypoints[0].tolist() == expected
    assert doubled.keypoints.dtype == np.float32


def test_areas_grow_with_the_square_of_the_scale():
    doubled = FitCanvas((240, 320))(painted_example(ONE), _rng())
    assert doubled.areas.tolist() == [4 * 60 * 50]


def test_boxes_are_scaled_by_the_sides_or_by_the_scale_before_rounding():
    # 120 x 160 into 100 x 100: 0.625, of 120 pixels exactly 75; into 33 x 33 0.20625,
    # of which 24.75 become 24.
    example = painted_example(ONE)
    for canvas in ((100, 100), (33, 33)):
        by_sides, common = (
            FitCanvas(canvas, box_scale)(example, _rng())
            for box_scale in ("sides", "common")
        )
        np.testing.assert_array_equal(by_sides.image, common.image)
        factor = canvas[0] / 160
        expected = np.multiply(ONE, factor)
        np.testing.assert_allclose(common.boxes, expected, rtol=1e-6)
        rounded = canvas[0] == 33
        y = 24 / 120 if rounded else factor
        expected = np.multiply(ONE, [factor, y, factor, y])
        np.testing.assert_allclose(by_sides.boxes, expected, rtol=1e-6)
    assert fitted_size((120, 160), (33, 33), "sides") == (24, 33)
    assert fitted_size((120, 160), (33, 33), "common") == pytest.approx((24.75, 33))
    jitter, mosaic = (
        kind((33, 33), *more, box_scale="common")
        for kind, more in ((ScaleJitter, (1, 1)), (partial(Mosaic, [example]), ()))
    )
    assert jitter(example, _rng()).boxes.tolist() == common.boxes.tolist()
    sides = mosaic(example, _rng()).boxes
    heights = sides[:, 3] - sides[:, 1]
    np.testing.assert_allclose(heights.max(), 50 * 0.20625, rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_jitter_moves_boxes_with_their_pixels(seed):
    jitter = ScaleJitter((120, 160), 0.3, 3.0)
    jittered = jitter(painted_example(ONE), _rng(seed))
    height, width = jittered.image.shape[:2]
    assert height <= 120 and width <= 160
    assert (jittered.boxes <= [width, height, width, height]).all()
    for box, mask in zip(jittered.boxes, jittered.masks, strict=True):
        np.testing.assert_allclose(box, _painted_box(jittered.image), atol=1.5)
        np.testing.assert_allclose(box, _mask_box(mask), atol=1)


@pytest.mark.parametrize("seed", range(20))
def test_jitter_moves_keypoints_with_their_box_until_they_are_cut_off(seed):
    jitter = ScaleJitter((120, 160), 0.3, 3.0, min_visible=0.0)
    jittered = jitter(_with_keypoints(), _rng(seed))
    height, width = jittered.image.shape[:2]
    (x1, y1, x2, y2), points = jittered.boxes[0], jittered.keypoints[0]
    if points[0, 2]:
        np.testing.assert_allclose(points[0], [x1, y1, 2], rtol=1e-5, atol=1e-4)
    if points[1, 2]:
        np.testing.assert_allclose(points[1], [x2, y2, 1], rtol=1e-5, atol=1e-4)
    assert points[2].tolist() == [0, 0, 0]
    gone = points[:, 2] == 0
    assert not points[gone].any()
    assert (points[:, :2] >= 0).all() and (points[:, :2] <= [width, height]).all()
    # A corner is gone exactly if its box was cut on one of its sides.
    assert gone[0] == (x1 == 0 or y1 == 0)
    assert gone[1] == (x2 == width or y2 == height)


def test_transforms_do_not_ask_for_masks_and_keypoints():
    example = painted_example(ONE, masks=None)
    for transform in (HorizontalFlip(1.0), ScaleJitter((50, 50)), FitCanvas((9, 9))):
        changed = transform(example, _rng())
        assert changed.masks is None and changed.keypoints is None


def test_jitter_of_scale_one_is_fitting():
    example = painted_example(ONE)
    for transform in (ScaleJitter((60, 90), 1.0, 1.0), FitCanvas((60, 90))):
        assert transform(example, _rng()).image.shape == (60, 80, 3)
        assert transform(example, _rng()).boxes.tolist() == [[15, 10, 45, 35]]


def test_jitter_drops_exactly_the_boxes_of_which_too_little_is_left():
    example = painted_example(
        [[10, 10, 50, 50], [60, 10, 100, 50], [110, 70, 150, 110]]
    )
    left_over = []
    for seed in range(40):
        jitter = ScaleJitter((120, 160), 2.0, 2.0)
        kept = jitter(example, _rng(seed))
        all_kept = ScaleJitter((120, 160), 2.0, 2.0, min_visible=0.0)(
            example, _rng(seed)
        )
        shares = (all_kept.boxes[:, 2:] - all_kept.boxes[:, :2]).prod(axis=1) / 80**2
        np.testing.assert_array_equal(kept.labels, np.flatnonzero(shares >= 0.25))
        np.testing.assert_allclose(all_kept.areas, shares * 80**2, rtol=1e-5)
        left_over += shares.tolist()
    assert min(left_over) == 0 and max(left_over) == 1  # both ends were met


@pytest.mark.parametrize(
    "transform",
    [
        HorizontalFlip(1.0),
        ScaleJitter((50, 50)),
        FitCanvas((9, 9)),
        RandomCrop(1.0),
        ColorJitter(1.0),
    ],
)
def test_an_image_without_objects_stays_one(transform):
    keypoints = np.zeros((0, 4, 3), np.float32)
    example = painted_example([], keypoints=keypoints, keypoint_spec=POINTS)
    changed = transform(example, _rng())
    assert changed.boxes.shape == (0, 4)
    assert changed.masks.shape == (0, *changed.image.shape[:2])
    assert changed.keypoints.shape == (0, 4, 3)


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_contains_what_it_keeps(seed):
    example = painted_example(
        [[30, 20, 90, 70]], keypoints=CORNERS, keypoint_spec=POINTS
    )
    part = RandomCrop(1.0, min_share=0.4)(example, _rng(seed))
    height, width = part.image.shape[:2]
    assert 48 <= height <= 120 and 64 <= width <= 160
    for row, mask in enumerate(part.masks):
        assert part.boxes[row].tolist() == _painted_box(part.image) == _mask_box(mask)
        assert part.areas[row] >= 0.25 * 60 * 50
        assert part.areas[row] == pytest.approx(mask.sum())
    if not len(part.boxes):  # less than a quarter was left
        assert (part.image > 0).any(axis=-1).sum() < 0.25 * 60 * 50


def test_crops_are_as_frequent_and_as_large_as_asked():
    rng, example = _rng(), painted_example(ONE)
    parts = [RandomCrop(0.3, 0.5)(example, rng) for _ in range(1000)]
    cut = [part.image.shape[:2] for part in parts if part is not example]
    assert 250 < len(cut) < 350
    heights, widths = np.array(cut).T
    assert heights.min() >= 60 and widths.min() >= 80
    assert 80 < heights.mean() < 100 and 110 < widths.mean() < 130


GRAYS = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=2)
NOTHING = {
    "brightness": (1, 1),
    "contrast": (1, 1),
    "saturation": (1, 1),
    "hue": (0, 0),
}


def _colored(image, **changes):
    example = painted_example([], *image.shape[:2], image=image)
    return ColorJitter(1.0, **NOTHING | changes)(example, _rng()).image


def test_colors_by_hand():
    assert (_colored(GRAYS) == GRAYS).all()
    assert (
        _colored(GRAYS, brightness=(2, 2)) == np.minimum(2 * GRAYS.astype(int), 255)
    ).all()
    mean = GRAYS.mean()
    expected = np.rint(mean + (GRAYS - mean) / 2)
    np.testing.assert_allclose(_colored(GRAYS, contrast=(0.5, 0.5)), expected, atol=1)
    assert (_colored(GRAYS, saturation=(3, 3), hue=(0.3, 0.3)) == GRAYS).all()
    red = np.full((2, 2, 3), (200, 0, 0), np.uint8)
    gray = _colored(red, saturation=(0, 0))
    assert (gray == 200).all()  # the value of the cone stays
    green = _colored(red, hue=(1 / 3, 1 / 3))[0, 0]
    assert green[1] == 200 and green[0] < 10 and green[2] < 10


def test_colors_change_nothing_but_the_image():
    image = _rng().integers(0, 256, (120, 160, 3), np.uint8)
    example = painted_example(ONE, image=image)
    same = _colored(image)  # there and back through hue and saturation
    assert np.abs(same.astype(int) - image).mean() < 2
    changed = ColorJitter(1.0)(example, _rng())
    assert changed.boxes is example.boxes and changed.masks is example.masks
    assert np.abs(changed.image.astype(int) - image).mean() > 3
