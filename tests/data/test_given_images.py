"""Images of every library and form become one array, or one line that says why not."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.given_images import as_image, is_one_image, read_image
from fpn_jax.parity.live_torchvision import import_torchvision

torch, _ = import_torchvision()

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
GRAY = IMAGE[..., 0]
ORIENTATION = 0x0112  # EXIF's tag


@pytest.mark.parametrize(
    "of_library",
    [np.asarray, jnp.asarray, torch.tensor, Image.fromarray],
)
def test_an_image_of_any_library_is_the_same_array(of_library):
    given = of_library(IMAGE)
    assert is_one_image(given)
    np.testing.assert_array_equal(as_image(given), IMAGE, strict=True)


def test_floats_of_any_library_keep_their_values():
    pixels = IMAGE.astype(np.float32)
    tensor = torch.tensor(pixels, requires_grad=True)
    for given in (pixels, jnp.asarray(pixels), tensor):
        np.testing.assert_array_equal(as_image(given), pixels, strict=True)


def test_a_path_is_decoded(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    for given in (path, str(path)):
        assert is_one_image(given)
        np.testing.assert_array_equal(as_image(given), IMAGE)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_mode_of_pil_of_8_bits_becomes_rgb(mode):
    image = Image.fromarray(GRAY).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(as_image(image), expected, strict=True)


def test_a_photograph_of_pil_is_turned_upright():
    image = Image.fromarray(IMAGE)
    image.getexif()[ORIENTATION] = 6  # its first row is the right side
    np.testing.assert_array_equal(as_image(image), np.rot90(IMAGE, k=-1))


def test_a_batch_a_list_and_an_iterator_are_several_images():
    batch = np.stack([IMAGE, IMAGE])
    rows = np.empty(2, object)
    rows[:] = [IMAGE, IMAGE[:2]]
    for several in (batch, jnp.asarray(batch), torch.tensor(batch), rows, iter(batch)):
        assert not is_one_image(several)
    assert not is_one_image([]) and not is_one_image(("a.jpg", "b.jpg"))


@pytest.mark.parametrize(
    "given, said",
    [
        (None, "None given, must be an array"),
        (5, "an int given, must be an array"),
        (b"\xff\xd8", "a bytes given"),
        ({"image": IMAGE}, "a dict given"),
        ({"a.jpg"}, "a set given"),
    ],
)
def test_what_is_neither_one_image_nor_several_is_named(given, said):
    with pytest.raises(ValueError, match=f"^images: {said}"):
        is_one_image(given)


@pytest.mark.parametrize(
    "given, said",
    [
        ([[1, 2], [3, 4]], "a list given, must be an array"),
        (None, "None given"),
        (IMAGE.transpose(2, 0, 1), r"channels last: np.moveaxis\(image, 0, -1\)$"),
        (np.zeros((5, 4, 6), np.uint8), r"shape \(5, 4, 6\) given, must be .*3\]$"),
        (np.zeros((0, 6, 3), np.uint8), r"shape \(0, 6, 3\) given, must be .*3\]$"),
        (np.zeros((5, 6, 2), np.uint8), r"shape \(5, 6, 2\) given, must be .*3\]$"),
        (torch.zeros(1, 3, 4, 6), r"shape \(1, 3, 4, 6\) given, must be .*3\]$"),
        (np.uint8(3), r"shape \(\) given"),
        (IMAGE > 3, "bool given"),
        (IMAGE.astype(np.complex64), "complex64 given"),
        (IMAGE.astype(np.int64) - 1, "int64 of -1 … 70 given, must be 0 … 255, or"),
        (IMAGE.astype(np.uint32) << 12, "uint32 of 0 … 290816 given"),
    ],
)
def test_another_shape_or_type_is_one_line_with_the_way_out(given, said):
    with pytest.raises(ValueError, match=f"^images: .*{said}") as error:
        as_image(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "given, expected",
    [
        (GRAY, np.dstack([GRAY] * 3)),
        (GRAY[..., None], np.dstack([GRAY] * 3)),
        (np.dstack([IMAGE, GRAY]), IMAGE),  # transparency
        (torch.tensor(IMAGE).permute(2, 0, 1), IMAGE),
        (torch.tensor(GRAY)[None], np.dstack([GRAY] * 3)),
        (IMAGE.astype(np.int64), IMAGE),
        (IMAGE.astype(np.uint16) * 257, IMAGE),  # 16 bits
        (torch.tensor(IMAGE, dtype=torch.bfloat16), IMAGE.astype(np.float32)),
        (torch.tensor(IMAGE, dtype=torch.float16), IMAGE.astype(np.float32)),
        (jnp.asarray(IMAGE, jnp.bfloat16), IMAGE.astype(np.float32)),
        (IMAGE.astype(np.float64), IMAGE.astype(np.float32)),
        (Image.fromarray(GRAY.astype(np.uint16) * 257), np.dstack([GRAY] * 3)),
        (Image.fromarray(GRAY.astype(np.int32)), np.dstack([GRAY] * 3)),
        (
            Image.fromarray(GRAY.astype(np.float32)),
            np.dstack([GRAY] * 3).astype(np.float32),
        ),
    ],
)
def test_other_forms_become_rgb_in_0_to_255(given, expected):
    assert is_one_image(given)
    np.testing.assert_array_equal(as_image(given), expected, strict=True)


def test_views_and_locked_arrays_are_images():
    locked = IMAGE.copy()
    locked.flags.writeable = False
    assert as_image(locked) is locked
    bgr = IMAGE[::-1, ::2, ::-1]
    np.testing.assert_array_equal(as_image(bgr), bgr)


@pytest.mark.parametrize("of_library", [np.asarray, jnp.asarray, torch.tensor])
def test_floats_of_0_to_1_are_scaled(of_library):
    given = of_library(IMAGE.astype(np.float32) / 255)
    np.testing.assert_allclose(as_image(given), IMAGE, rtol=1e-6)
    if of_library is torch.tensor:  # as torchvision's `to_tensor` has them
        np.testing.assert_allclose(as_image(given.permute(2, 0, 1)), IMAGE, rtol=1e-6)


@pytest.mark.parametrize(
    "low, high, said",
    [
        (-1.0, 1.0, "floats of -1 … 1 given, .*, neither standardized"),
        (-2.1, 2.6, "floats of -2.1 … 2.6 given, .*, neither standardized"),
        (0.0, 1.02, "floats of 0 … 1.02 given, .* clip them to one of the two$"),
        (0.0, 65535.0, r"floats of 0 … 6.55e\+04 given, must be 0 … 255 or 0 … 1$"),
    ],
)
def test_floats_of_other_scales_are_refused(low, high, said):
    pixels = np.linspace(low, high, 72, dtype=np.float32).reshape(4, 6, 3)
    pixels[0, 0, 0], pixels[-1, -1, -1] = low, high
    with pytest.raises(ValueError, match=said):
        as_image(pixels)


@pytest.mark.parametrize("wrong, said", [(np.nan, "nan … nan"), (np.inf, "0 … inf")])
def test_floats_that_are_no_numbers_are_refused(wrong, said):
    pixels = np.zeros((4, 6, 3), np.float32)
    pixels[1, 2, 0] = wrong
    with pytest.raises(
        ValueError, match=f"floats of {said} given, must be 0 … 255 or 0 … 1$"
    ):
        as_image(pixels)


@pytest.mark.parametrize("low, high", [(0.0, 0.0), (0.0, 9.5), (-9.3, 261.0)])
def test_dark_pixels_and_those_of_an_interpolation_are_taken(low, high):
    pixels = np.linspace(low, high, 72, dtype=np.float32).reshape(4, 6, 3)
    assert as_image(pixels) is pixels


def test_a_black_image_with_single_whole_values_is_taken():
    pixels = np.zeros((4, 6, 3), np.float32)
    pixels[1, 2] = 1
    assert as_image(pixels) is pixels


def test_what_is_no_image_file_is_named(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    for path, said in (
        (tmp_path / "a.jpg", "a.jpg: not a readable image"),
        (tmp_path / "none.jpg", "none.jpg: No such file"),
        (tmp_path, ": a folder, not an image; give the files in it"),
    ):
        with pytest.raises(UnreadableImage, match=said):
            read_image(path)
