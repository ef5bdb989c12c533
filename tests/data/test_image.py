import io

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.image import IMAGE_SUFFIXES, decode_annotated, decode_image
from fpn_jax.data.image_file import read_header
from tests.support.photograph import encoded, exif_of

RED = np.full((16, 24, 3), (200, 20, 40), np.uint8)
noise = np.random.default_rng(0).integers(0, 255, (40, 64, 3), np.uint8)
FORMS = ["JPEG", "PNG", "WEBP", "TIFF"]
FORMS += ["AVIF"] if "avif" in features.modules and features.check("avif") else []


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", FORMS)
def test_a_photograph_is_turned_upright_or_left_as_it_is_stored(form, orientation):
    data = encoded(noise, form, exif=exif_of(orientation))
    stored = decode_image(data, "stored", upright=False)
    np.testing.assert_array_equal(stored, decode_image(encoded(noise, form), "plain"))
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(picture)
    np.testing.assert_array_equal(decode_image(data, "turned"), upright)
    assert read_header(io.BytesIO(data)) == ((40, 64), orientation)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_files_of_every_suffix_are_decoded(suffix):
    # Pillow knows the others; a .dib has the content of a .bmp.
    others = {".dib": "BMP", ".avif": "AVIF", ".jpeg2000": "JPEG2000"}
    if suffix in (".heic", ".heif", ".hif"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    form = others.get(suffix) or Image.registered_extensions()[suffix]
    if form == "AVIF" and form not in FORMS:
        pytest.skip("this Pillow has no AVIF")
    picture = Image.fromarray(RED).convert("1" if suffix == ".pbm" else "RGB")
    image = decode_image(encoded(picture, form), f"a{suffix}")
    assert image.shape == RED.shape
    if suffix not in (".pbm", ".gif"):  # of two colors, or of a palette
        np.testing.assert_allclose(image, RED, atol=6)


def test_the_first_of_several_pictures_is_taken_and_turned():
    first, second = Image.fromarray(noise), Image.fromarray(RED)
    data = encoded(first, "MPO", save_all=True, append_images=[second], exif=exif_of(6))
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert decode_image(data, "two").shape == (64, 40, 3)
    assert read_header(io.BytesIO(data)) == ((40, 64), 6)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_no_turn(value):
    data = encoded(noise, "JPEG", exif=exif_of(value))
    assert decode_image(data, "odd").shape == (40, 64, 3)
    assert read_header(io.BytesIO(data)).orientation == 1


def test_broken_exif_is_none():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05broken"
    data = encoded(noise, "JPEG", exif=exif)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):  # Pillow's
        assert decode_image(data, "broken exif").shape == (40, 64, 3)


def test_the_picture_of_the_stated_size_is_taken():
    data = encoded(noise, "JPEG", exif=exif_of(8))
    for size, applied in (((40, 64), False), ((64, 40), True)):
        image, turn = decode_annotated(data, "a.jpg", stated=size, upright=None)
        assert image.shape[:2] == size and turn.applied is applied and turn.sure
    with pytest.raises(UnreadableImage) as error:
        decode_annotated(
            data, "a.jpg", stated=(41, 64), upright=None, source="train.json"
        )
    assert error.value.kind == "image unlike its rows"
    assert str(error.value) == (
        "a.jpg: the file is 64 x 40 (turned upright by EXIF 40 x 64) pixels, "
        "train.json says 64 x 41"
    )
