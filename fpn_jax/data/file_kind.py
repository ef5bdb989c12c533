"""The kind of a file that is not what its name says, told by its first bytes."""

import re

from fpn_jax.data.heif import heif_decoder, is_heif

_POINTER = rb"version https://git-lfs"
_CONVERT = "which is not decoded here; save it as JPEG or PNG"
# Each matches at the start of a file that is no HEIF. Families of MPEG-4 name
# themselves in byte 8.
_KINDS = {
    _POINTER: "a pointer of Git LFS; `git lfs pull` gets the file",
    rb"\s*<(!doctype html|html)": "a web page, as a failed download leaves behind",
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg": f"an SVG drawing, {_CONVERT}",
    rb"\s*[{\[]": "JSON text",
    rb".{4}ftypcrx": f"a camera's raw file, {_CONVERT}",
    rb".{4}ftyp(?!avi[fs])|RIFF.{4}AVI |\x1aE\xdf\xa3": "a video",
    rb"\xff\x0a|\0\0\0\x0cJXL ": f"JPEG XL, {_CONVERT}",
    rb"8BPS": f"a Photoshop file, {_CONVERT}",
    rb"%PDF": f"a PDF document, {_CONVERT}",
    rb".{128}DICM": f"a DICOM file, {_CONVERT}",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "an archive",
    rb"\x93NUMPY": "a NumPy array",
    rb"\0+\Z": "zeros only, as a broken copy leaves behind",
}


def named_kind(data: bytes) -> str:
    """Names the kind of a file that should be an image; "" for an unknown one."""
    if is_heif(data):
        return _heic()
    for pattern, kind in _KINDS.items():
        if re.match(pattern, data, re.DOTALL | re.IGNORECASE):
            return kind
    return "" if data else "empty"


def _heic() -> str:
    if heif_decoder():
        return "HEIC that is damaged, or holds no photograph"
    return "HEIC, which pip install 'fpn-jax[heif]' decodes; or save it as JPEG"


def pointer_problem(data: bytes) -> str:
    """Says that a file only points to the one that Git LFS would get, or ""."""
    return _KINDS[_POINTER] if data.startswith(_POINTER) else ""
