"""The walk over the markers of a JPEG, by hand; whole files are in test_image.py."""

import pytest

from fpn_jax.data.jpeg_end import has_end_marker

START, END = b"\xff\xd8", b"\xff\xd9"
# Segments with their lengths, which count themselves: 2 + 4 and 2 + 1 bytes.
THUMBNAIL = b"\xff\xe1\x00\x06" + START + END
SCAN = b"\xff\xda\x00\x03\x01"
PIXELS = b"ab\xff\x00cd\xff\xd0ef"  # a byte FF of data, and a restart


@pytest.mark.parametrize(
    "whole",
    [
        START + THUMBNAIL + SCAN + PIXELS + END,
        START + SCAN + PIXELS + SCAN + PIXELS + END,  # two scans
        START + SCAN + PIXELS + b"\xff\xff\xff" + END,  # marker with fill bytes
        START + SCAN + PIXELS + END + b"video \xff\xd8 and more",
    ],
)
def test_a_whole_image_ends_with_its_marker(whole):
    assert has_end_marker(whole)


@pytest.mark.parametrize(
    "cut",
    [
        START,
        START + THUMBNAIL,
        START + THUMBNAIL[:-1],
        START + THUMBNAIL + SCAN + PIXELS,
        START + SCAN + PIXELS + b"\xff",
        START + SCAN + PIXELS + bytes(2000),
        START + SCAN + PIXELS + START + SCAN + PIXELS + END,
        START + SCAN + PIXELS + b"moov\xff\x93\0\x02" + END,  # a video behind the cut
        START + END + START + SCAN + PIXELS,  # an end before any pixel
    ],
)
def test_of_a_cut_image_no_other_end_marker_counts(cut):
    assert not has_end_marker(cut)
