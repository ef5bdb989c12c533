"""HEIC and HEIF, the photographs of phones: decoded by the extra `heif`.

The pixels come upright: a file of this kind says by itself how it is turned, and its
EXIF orientation does not count (ISO/IEC 23008-12).
"""

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec

# Families name themselves in byte 8. Files of `mif1` and `msf1` may be AVIF as well.
_FAMILIES = rb".{4}ftyp(heic|heix|heim|heis|hevc|mif1|msf1)"
HEAD = 12
"""Bytes of a file that `is_heif` needs."""
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
_DECODERS = ("pi_heif", "pillow_heif")  # plugins of Pillow; the second one also writes


def is_heif(start: bytes) -> bool:
    """Returns whether a file that begins with these bytes says that it is HEIF."""
    return re.match(_FAMILIES, start[:HEAD], re.DOTALL) is not None


def heif_decoder() -> str | None:
    """Returns the package that decodes HEIF; None where none is installed."""
    return next((name for name in _DECODERS if find_spec(name) is not None), None)


@cache
def heif_forms() -> tuple[str, ...]:
    """Returns Pillow's name of the format, after its decoder is loaded; () without."""
    if (name := heif_decoder()) is None:
        return ()
    import_module(name).register_heif_opener()
    return ("HEIF",)
