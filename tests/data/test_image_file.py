"""What is read of image files, by `decode_image`, and that headers agree with it."""

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.image import decode_image
from fpn_jax.data.image_file import read_header
from tests.support.photograph import encoded, exif_of

RED = np.full((16, 24, 3), (200, 20, 40), np.uint8)
noise = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
JPEG = encoded(noise, "JPEG")
FORMS = ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000"]
FORMS += ["AVIF"] if "avif" in features.modules and features.check("avif") else []


def _size(data):
    return read_header(io.BytesIO(data)).size


def _is_refused(data):
    with pytest.raises(UnreadableImage, match=r"^broken.jpg: not a readable image \("):
        decode_image(data, "broken.jpg")
    return True


@pytest.mark.parametrize("form", FORMS)
def test_channels_are_red_green_blue_and_the_header_has_their_size(form):
    data = encoded(RED, form)
    image = decode_image(data, "red")
    assert image.shape == (16, 24, 3) and image.dtype == np.uint8
    assert _size(data) == (16, 24)
    # Some forms round colors on the way.
    rounded = {"JPEG": 3, "WEBP": 6, "AVIF": 3}
    np.testing.assert_allclose(image, RED, atol=rounded.get(form, 0))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_other_color_modes_become_rgb(mode):
    original = Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).convert(mode)
    image = decode_image(encoded(original, "PNG"), "white")
    np.testing.assert_array_equal(image, np.full((8, 8, 3), 255))


def test_transparency_is_dropped_without_a_warning():
    palette = Image.fromarray(RED).quantize(4)
    data = encoded(palette, "PNG", transparency=bytes([0, 0, 0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode_image(data, "red"), RED)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(form):
    data = encoded(Image.fromarray(RED).convert("CMYK"), form)
    np.testing.assert_allclose(decode_image(data, "printed"), RED, atol=6)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jp2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_their_upper_eight(suffix, channels):
    deep = np.arange(0, 2**16, 2**4, dtype=np.uint16).reshape(64, 64, 1)
    deep = deep.repeat(channels, axis=2)
    data = cv2.imencode(suffix, deep)[1].tobytes()
    expected = np.broadcast_to(deep >> 8, (64, 64, 3))
    np.testing.assert_allclose(
        decode_image(data, "deep"), expected, atol=suffix == ".jp2"
    )
    assert _size(data) == (64, 64)


def test_pixels_of_32_bits_have_no_range_and_are_unreadable():
    assert _is_refused(encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"))


@pytest.mark.parametrize("suffix", [".hdr", ".pfm"])
def test_the_size_of_a_form_that_pillow_does_not_know_is_that_of_its_pixels(suffix):
    light = np.ones((8, 12, 3), np.float32)
    data = cv2.imencode(suffix, light)[1].tobytes()
    assert decode_image(data, "light").shape == (8, 12, 3)
    assert _size(data) == (8, 12)


VIDEO = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0) + bytes(9000)
TRAILERS = {
    "zeros": bytes(100),
    "5 kB of Samsung's": b"SEFH" + bytes(5000),
    "a video": VIDEO,
    "another JPEG": JPEG,
    "half of another": JPEG[:700],
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS.keys())
@pytest.mark.parametrize("progressive", [False, True])
def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(trailer, progressive):
    whole = encoded(noise, "JPEG", progressive=progressive)
    image = decode_image(whole + trailer, "padded")
    np.testing.assert_array_equal(image, decode_image(whole, "plain"))
    assert _size(whole + trailer) == (40, 64)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_that_is_cut_off_is_refused_whatever_follows(share, progressive):
    # Its thumbnail has an end marker of its own.
    thumbnail = exif_of(6)
    thumbnail[0x9286] = b"ASCII\0\0\0" + encoded(RED, "JPEG")
    whole = encoded(noise, "JPEG", progressive=progressive, exif=thumbnail)
    assert whole.count(b"\xff\xd9") == 2
    assert decode_image(whole, "whole").shape == (64, 40, 3)
    cut = whole[: int(len(whole) * share)]
    assert _is_refused(cut)
    assert _is_refused(cut + bytes(len(whole) - len(cut)))  # a download's empty part
    assert _is_refused(cut + whole)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_cut_off_is_refused_in_every_form(form):
    whole = encoded(noise, form)
    assert _is_refused(whole[: len(whole) // 2])


@pytest.mark.parametrize("data", [b"", b"no image at all", b"\xff\xd8", JPEG[:30]])
def test_what_is_no_image_is_unreadable_and_named(data):
    assert _is_refused(data)
    assert read_header(io.BytesIO(data)) is None


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pillows_limit_of_pixels_does_not_count_and_stays(form, monkeypatch):
    data = encoded(noise, form)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of 2560: an error above 2000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _size(data) == (40, 64)
        assert decode_image(data, "large").shape == (40, 64, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_more_than_opencvs_limit_of_pixels_is_refused_before_memory_is_taken():
    data = bytearray(encoded(noise, "PNG"))
    data[16:24] = struct.pack(">II", 2**15, 2**15 + 1)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert read_header(io.BytesIO(data)) is None
    with pytest.raises(UnreadableImage, match="too large"):
        decode_image(bytes(data), "bomb.png")


def test_a_size_that_so_few_bytes_cannot_fill_is_refused_before_memory_is_taken():
    # SOF's height and width stand behind its length and the bits of a sample.
    at = JPEG.index(b"\xff\xc0") + 5
    damaged = JPEG[:at] + struct.pack(">HH", 30000, 30000) + JPEG[at + 4 :]
    with pytest.raises(UnreadableImage, match="too few for 30000 x 30000 pixels"):
        decode_image(damaged, "damaged.jpg")


def test_a_png_with_a_damaged_remark_is_still_an_image():
    remark = PngInfo()
    remark.add_text("Author", "somebody")
    data = encoded(noise, "PNG", pnginfo=remark)
    damaged = data.replace(b"somebody", b"somebodx")
    np.testing.assert_array_equal(decode_image(damaged, "remark"), noise)
    assert _size(damaged) == (40, 64)


def test_a_large_image_is_converted_in_bands_without_a_seam():
    # Bands of 2**20 pixels: 262 rows of 4000.
    image = np.zeros((600, 4000), np.uint8)
    image[:] = np.arange(600)[:, None] % 251
    found = decode_image(encoded(image, "PNG"), "tall")
    np.testing.assert_array_equal(found, image[..., None].repeat(3, axis=2))
