"""A file that is no image is named as what it is."""

import pytest

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.file_kind import named_kind, pointer_problem
from fpn_jax.data.image import decode_image

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (POINTER, "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>404</html>", "a web page"),
        (b'<?xml version="1.0"?>\n<svg width="3"/>', "an SVG drawing"),
        (b'{"error": "quota"}', "JSON text"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isom", "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0" * 128 + b"DICM", "a DICOM file"),
        (b"PK\3\4", "an archive"),
        (b"\x93NUMPY\1\0", "a NumPy array"),
        (b"\0" * 999, "zeros only"),
        (b"", "empty"),
    ],
)
def test_what_stands_in_the_place_of_an_image_is_named(data, kind):
    assert named_kind(data).startswith(kind)
    message = rf"^a\.jpg: not a readable image \({len(data)} bytes; {kind}[^\n]*\)$"
    with pytest.raises(UnreadableImage, match=message):
        decode_image(data, "a.jpg")


def test_bytes_that_say_nothing_have_no_name():
    assert named_kind(b"\x01\x02\x03") == named_kind(b"ftypheic") == ""
    assert named_kind(b"\0\0\0\x20ftypavif\0\0\0\0") == ""  # a broken image
    with pytest.raises(UnreadableImage, match=r"not a readable image \(3 bytes\)$"):
        decode_image(b"\x01\x02\x03", "a.jpg")


def test_a_pointer_is_told_from_text_that_mentions_it():
    assert "git lfs pull" in pointer_problem(POINTER)
    assert pointer_problem(b"see version https://git-lfs") == ""
