"""Whether a file is the one that was published, or that came first."""

import hashlib
import zipfile
from pathlib import Path

from fpn_jax.weights.models.entry import PublishedModel

MEBIBYTE = 2**20
_ROUNDING = 0.0006  # MiB; sizes are published to three digits
_ZIP_END = b"PK\x05\x06", 22  # how the last bytes of an archive begin, and how many
_OLD_FORM = b"\x80"  # a pickle, of torch before 1.6 and of Detectron2's zoo


def sha256(file: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    return _digits(file, "sha256")


def size_fault(entry: PublishedModel, size: int) -> str | None:
    """Says how a size in bytes differs from the published one; None where it fits."""
    published = entry.mebibytes
    if published is None or abs(size / MEBIBYTE - published) < _ROUNDING:
        return None
    return f"it has {size / MEBIBYTE:.3f} MiB, must have {published:.3f}"


def file_fault(entry: PublishedModel, file: Path) -> str | None:
    """Says how a file differs from what was published of it; None where it fits.

    That is its digest and its size. Where no digest is published, a zip archive must
    have the sums that it states of its entries, and any other file begin as a pickle.
    """
    if fault := size_fault(entry, file.stat().st_size):
        return fault
    if entry.digest is None:
        return _form_fault(file)
    kind, _, published = entry.digest.partition(":")
    digits = _digits(file, kind)[: len(published)]
    if digits == published:
        return None
    return f"its {kind.upper()} begins with {digits}, must begin with {published}"


def _digits(file: Path, kind: str) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, kind).hexdigest()


def _form_fault(file: Path) -> str | None:
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(4)
        opened.seek(max(0, size - _ZIP_END[1]))
        tail = opened.read(4)
    if head.startswith(_OLD_FORM):
        return None
    if not head.startswith(b"PK") or tail != _ZIP_END[0]:
        return f"torch.save has not written it whole, it begins with {head!r}"
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a broken archive raises many types
        return f"it is damaged: {error}"
    return None if damaged is None else f"its entry {damaged!r} is damaged"
