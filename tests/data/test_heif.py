"""Photographs of phones: HEIC, where a decoder of it is installed."""

import io

import numpy as np
import pytest
from PIL import Image

from fpn_jax.data import heif
from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.image import IMAGE_SUFFIXES, decode_image
from fpn_jax.data.image_file import read_header
from fpn_jax.media.sources import find_sources

pillow_heif = pytest.importorskip("pillow_heif")
GRADIENT = np.stack(np.broadcast_arrays(*np.ogrid[0:160:4, 0:240:4], 90), axis=-1)
PICTURE = GRADIENT.astype(np.uint8)  # [40, 60, 3]


def heic(**options) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(PICTURE)).save(file, quality=95, **options)
    return file.getvalue()


def test_the_pixels_are_decoded():
    data = heic()
    image = decode_image(data, "a.heic")
    assert image.shape == PICTURE.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - PICTURE).mean() < 2
    header = read_header(io.BytesIO(data))
    assert header is not None and header == ((40, 60), 1)


def test_a_photograph_that_a_phone_took_on_its_side_comes_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # which the writer turns into the file's own property, as phones
    data = heic(exif=exif.tobytes())
    image = decode_image(data, "a.heic")
    assert np.abs(image.astype(int) - np.rot90(PICTURE, -1)).mean() < 2
    assert read_header(io.BytesIO(data)) == ((60, 40), 1)  # nothing is left to turn


def test_a_damaged_file_is_one_line():
    for data in (heic()[:-200], heic()[:40]):
        with pytest.raises(UnreadableImage, match=r"^a\.heic: not a readable image"):
            decode_image(data, "a.heic")


def test_without_a_decoder_the_line_names_it(monkeypatch):
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    heif.heif_forms.cache_clear()
    try:
        with pytest.raises(UnreadableImage, match=r"HEIC, which pip install 'fpn-jax"):
            decode_image(heic(), "a.heic")
    finally:
        heif.heif_forms.cache_clear()


def test_a_folder_of_a_phone_is_read(tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(heic())
    assert set(heif.HEIF_SUFFIXES) <= set(IMAGE_SUFFIXES)
    (found,) = find_sources(str(tmp_path))
    (picture,) = found.open().pictures
    assert picture.read().shape == PICTURE.shape
