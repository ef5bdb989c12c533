"""Pictures made of several, and the files they are written to."""

import numpy as np
import pytest

from fpn_jax.types import Detections
from fpn_jax.visualize.pictures import pyramid_picture, sample_grid, save_image

GRAY = np.full((100, 120, 3), 128, np.uint8)
BOX = np.float32([[30, 40, 90, 80]])


def detections(boxes: np.ndarray, **further: np.ndarray) -> Detections:
    num = len(boxes)
    return Detections(
        boxes, np.ones(num), np.zeros(num, int), np.ones(num, bool), **further
    )


def test_the_grid_holds_every_image_at_one_size():
    images = [GRAY, np.zeros((320, 320, 3), np.uint8), GRAY]
    boxes = [BOX, np.zeros((0, 4)), BOX]

    grid = sample_grid(images, boxes, [*map(detections, boxes)], columns=2, panel=200)

    assert grid.shape == (408, 408, 3)
    assert (grid[204:, 204:] == 255).all()  # the empty fourth place
    assert (grid[10:190, 214:394] == 0).all()


def test_masks_and_keypoints_grow_with_their_image():
    """The gray image of 120 x 100 is doubled."""
    mask = np.zeros((1, 100, 120), bool)
    mask[0, 45:75, 35:85] = True
    found = detections(BOX, masks=mask, keypoints=np.float32([[[100, 20]]]))

    grid = sample_grid([GRAY], [BOX], [found], columns=1, panel=240)

    assert (grid[2 * 45 + 2 : 2 * 75 - 2, 2 * 35 + 2 : 2 * 85 - 2] != 128).any(-1).all()
    assert (grid[2 * 76 : 2 * 80 - 4, 2 * 35 : 2 * 85] == 128).all()
    assert (grid[40, 200] != 128).any()


def test_a_pyramid_is_drawn_level_by_level():
    image = np.zeros((64, 64, 3), np.uint8)
    pyramid = {3: np.ones((8, 8, 5)), 2: np.ones((16, 16, 5))}
    pyramid[3][:4] = 0  # the upper half is inactive

    picture = pyramid_picture(image, pyramid, panel=128)

    assert picture.shape == (128, 3 * 128, 3)
    upper, lower = picture[40:64, 256:], picture[64:, 256:]
    assert len(np.unique(upper.reshape(-1, 3), axis=0)) == 1
    assert lower.mean() > upper.mean()


def test_a_saved_image_keeps_its_colors(tmp_path):
    import cv2

    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    save_image(tmp_path / "new" / "red.png", red)

    assert (cv2.imread(str(tmp_path / "new" / "red.png"))[0, 0] == [0, 0, 200]).all()


def test_an_image_that_cannot_be_saved_is_an_error_with_its_path(tmp_path):
    (tmp_path / "red.png").mkdir()

    with pytest.raises(OSError, match="red.png"):
        save_image(tmp_path / "red.png", GRAY)
