"""Files of weights by name: from a directory, from a mirror, or downloaded once.

A file that is downloaded lies in the user's cache, in a folder of its model. What is
used is checked each time; a file that is not the published one is removed. The SHA-256
of the first download is kept beside the file: where no digest is published, later ones
must equal it.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from fpn_jax.runtime import cache_directory
from fpn_jax.weights.models.checks import MEBIBYTE, file_fault, sha256, size_fault
from fpn_jax.weights.models.download import (
    DownloadError,
    Wanted,
    download,
    forget,
    part_size,
)
from fpn_jax.weights.models.entry import PublishedModel
from fpn_jax.weights.models.lock import locked
from fpn_jax.weights.models.progress_line import ProgressLine
from fpn_jax.weights.models.table import MODELS

PLACE = "FPN_JAX_WEIGHTS"
"""The variable that names a directory with the files, or the address of a mirror."""

# A part of an earlier call may be of another file: what is made of it is tried again.
_DOWNLOADS = 3


def weights_file(name: str) -> Path:
    """Returns the file of a published model, which is downloaded where it is missing.

    Raises ValueError, one line, where it cannot be had, or is not the published one.
    """
    with held_folder(published(name)) as folder:
        return published_file(published(name), folder)


def published(name: str) -> PublishedModel:
    """Returns a row of the table.

    Raises ValueError, with the nearest name, for a name that is in none.
    """
    if name not in MODELS:
        near = get_close_matches(name, MODELS, n=1)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise ValueError(
            f"no published model {name!r}{hint}; fpn-jax models lists them"
        )
    return MODELS[name]


def model_folder(entry: PublishedModel) -> Path:
    """Returns the folder of a model in the cache, which may not be there yet."""
    return cache_directory() / "weights" / entry.name


@contextmanager
def held_folder(entry: PublishedModel) -> Iterator[Path]:
    """Gives the folder of a model in the cache, which no other process has meanwhile.

    Raises ValueError where it cannot be written.
    """
    folder = model_folder(entry)

    def waiting() -> None:
        _say(f"{entry.name}: another process is at it; waiting")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "lock", waiting):
            yield folder
    except OSError as error:
        raise ValueError(f"{entry.name}: {_said(error)}") from error


def published_file(entry: PublishedModel, folder: Path) -> Path:
    """Returns the file of a model whose folder the caller holds."""
    place = os.environ.get(PLACE, "")
    if place and not place.startswith(("http://", "https://")):
        return _file_in(Path(place).expanduser(), entry)
    file = folder / entry.file
    if file.exists():
        if _fault(entry, file) is None:
            return file
        file.unlink()
    _download(entry, file, f"{place.rstrip('/')}/{entry.file}" if place else entry.url)
    return file


def remove_unfit(entry: PublishedModel, file: Path, folder: Path) -> None:
    """Removes a download that does not hold the model, where no digest was published.

    A file in a directory of the user stays.
    """
    if entry.digest is None and file.parent == folder:
        file.unlink()
        _record_file(folder).unlink(missing_ok=True)


def _file_in(directory: Path, entry: PublishedModel) -> Path:
    file = directory / entry.file
    if not file.is_file():
        there = f"no file {entry.file!r} in" if directory.is_dir() else "no directory"
        raise ValueError(
            f"{entry.name}: {there} {str(directory)!r}, which {PLACE} names; it may "
            "also name the http address of a mirror"
        )
    if fault := file_fault(entry, file):
        raise ValueError(f"{entry.name}: {file} is not the published file: {fault}")
    return file


def _download(entry: PublishedModel, file: Path, url: str) -> None:
    part = file.with_name(f".{file.name}.part")
    line = ProgressLine(entry.file)
    wanted = Wanted(
        has_digest=entry.digest is not None,
        size_fault=lambda size: size_fault(entry, size),
        progress=line,
    )
    _say(f"{entry.name}: downloading {url}")
    fault = None
    try:
        for _ in range(_DOWNLOADS):
            at_once = download(url, part, wanted)
            fault = _fault(entry, part)
            if fault is None:
                return _put_in_place(entry, part, file, url)
            forget(part)
            if at_once:
                break
    except DownloadError as error:
        raise ValueError(
            f"{entry.name}: {error}{_what_stays(part)}; {PLACE} may name a mirror, or "
            f"a directory with {entry.file}"
        ) from error
    finally:
        line.close()
    raise ValueError(f"{entry.name}: {url} is not the published file: {fault}")


def _put_in_place(entry: PublishedModel, part: Path, file: Path, url: str) -> None:
    """Writes down the SHA-256 and renames the part, once the disk has all of it."""
    with part.open("rb+") as opened:
        os.fsync(opened.fileno())
    digits, size = sha256(part), part_size(part)
    record = {"sha256": digits, "bytes": size, "url": url}
    beside = file.with_name(".record.new")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(beside, _record_file(file.parent))
    os.replace(part, file)
    forget(part)
    known = "as published" if entry.digest else "no digest is published"
    _say(f"{file}: {size / MEBIBYTE:.1f} MiB, SHA-256 {digits} ({known})")


def _fault(entry: PublishedModel, file: Path) -> str | None:
    """Says how a file differs from the published one, or from the first that came."""
    if fault := file_fault(entry, file):
        return fault
    first = _first_sha256(file.parent)
    if entry.digest is not None or first is None or sha256(file) == first:
        return None
    return (
        f"its SHA-256 is not {first}, as of the first download; remove "
        f"{_record_file(file.parent)} to take it"
    )


def _first_sha256(folder: Path) -> str | None:
    try:
        return json.loads(_record_file(folder).read_text())["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _record_file(folder: Path) -> Path:
    return folder / "record.json"


def _what_stays(part: Path) -> str:
    if not (size := part_size(part)):
        return ""
    return f" ({size / MEBIBYTE:.1f} MiB have come; the next call goes on from there)"


def _said(error: OSError) -> str:
    return " ".join(str(error).split())


def _say(text: str) -> None:
    print(f"fpn-jax: {text}", file=sys.stderr)
