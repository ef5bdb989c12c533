"""Whether a JPEG is whole: its own end marker is there.

Libraries fill the rest of a JPEG that is cut off with gray, or read the zeros of an
unfinished download as its pixels. The last bytes of a file tell nothing: phones write
videos and notes behind the end, and thumbnails before it have end markers of their own.
"""

import re

# A marker is FF and another byte. In the coded pixels FF 00 is a byte of data, and
# D0 … D7 restart the decoder; before a marker FF may be repeated.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
# Tables and remarks, of which more scans may have need. All else behind a scan belongs
# to another file, and the scan was cut off.
_BETWEEN_SCANS = {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}


def has_end_marker(data: bytes) -> bool:
    """Walks from marker to marker, over the segments between them, to the end marker.

    Args:
        data: a file that begins with a JPEG; more may follow.
    """
    place, scanned = 2, False
    while found := _MARKER.search(data, place):
        place = found.end()
        marker = data[place - 1]
        if marker == _END_OF_IMAGE:
            return scanned
        if marker == _START_OF_IMAGE or (scanned and marker not in _BETWEEN_SCANS):
            return False
        scanned |= marker == _START_OF_SCAN
        place += int.from_bytes(data[place : place + 2])  # the segment's length
    return False
