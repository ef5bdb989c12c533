import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.image import decode_image

RED = np.full((16, 24, 3), (200, 20, 40), np.uint8)


def _encode(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP"])
def test_channels_are_red_green_blue(form):
    image = decode_image(_encode(Image.fromarray(RED), form), "red")
    assert image.shape == (16, 24, 3) and image.dtype == np.uint8
    # JPEG: chroma is rounded on the way.
    np.testing.assert_allclose(image, RED, atol=3 if form == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_color_modes_become_rgb(mode):
    original = Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).convert(mode)
    image = decode_image(_encode(original, "PNG"), "white")
    np.testing.assert_array_equal(image, np.full((8, 8, 3), 255))


def test_an_exif_orientation_is_not_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    data = _encode(Image.fromarray(RED), "JPEG", exif=exif)
    assert decode_image(data, "turned").shape == (16, 24, 3)


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm():
    data = _encode(Image.fromarray(RED), "JPEG") + b"\0" * 100
    assert decode_image(data, "padded").shape == (16, 24, 3)


noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
JPEG = cv2.imencode(".jpg", noise)[1].tobytes()


@pytest.mark.parametrize("data", [b"", b"no image at all", JPEG[: len(JPEG) // 2]])
def test_what_is_no_whole_image_is_unreadable_and_named(data):
    with pytest.raises(UnreadableImage, match="^broken.jpg: not a readable image"):
        decode_image(data, "broken.jpg")
