"""The place of a data set's files: a directory, also a remote one, or an archive."""

import errno
import io
import lzma
import os
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, cast

from etils import epath

from fpn_jax.data.file_kind import named_kind
from fpn_jax.data.formats.clutter import is_clutter

_START = 512  # bytes that tell the kind of a file
_ENCRYPTED = 1  # bit of an entry's flags
_UTF8 = 1 << 11
# An archive of data may have a note to its reader beside its one folder.
_DOCUMENTS = (
    ".docx",
    ".htm",
    ".html",
    ".md",
    ".pdf",
    ".rtf",
    ".txt",
    "readme",
    "license",
)
# Errors of the library at a broken archive.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, OverflowError, RuntimeError, ValueError),
)


class Folder:
    """A directory: local, or one that epath knows, such as `gs://bucket/coco`."""

    def __init__(self, path: epath.PathLike):
        self._path = epath.Path(path).expanduser()

    def __str__(self) -> str:
        return os.fspath(self._path)

    def names(self) -> Iterator[str]:
        """Yields the names of its own files, sorted, without clutter."""
        names = (path.name for path in self._path.iterdir() if path.is_file())
        yield from sorted(name for name in names if not is_clutter(name))

    def names_below(self) -> Iterator[str]:
        """Yields the names of all files below it, a folder's together, no clutter.

        A folder that several links lead to is walked through once.
        """
        yield from _names_below(self._path, "", set())

    def open(self, name: str) -> BinaryIO:
        """Opens a file to read a part of it; raises OSError."""
        return cast(BinaryIO, (self._path / name).open("rb"))

    def read(self, name: str) -> bytes:
        """Returns the content of a file; raises OSError."""
        return (self._path / name).read_bytes()


class Archive:
    """A zip archive; where all its files are in one folder, that folder.

    So COCO's `train2017.zip` is the folder `train2017`, also beside others. Clutter and
    documents beside the folder do not count, and backslashes in its entries are
    separators. Files may be read by their full names too. Threads may read at once; the
    copy that another process gets opens the file again.

    Raises:
        ValueError: if the archive is broken or encrypted.
    """

    def __init__(self, path: epath.PathLike):
        self._path = epath.Path(path).expanduser()
        self._read_index()

    def _read_index(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self._path.open("rb"))
        except _BROKEN as error:
            with self._path.open("rb") as file:
                start = file.read(_START)
            kind = "" if start.startswith(b"PK") else named_kind(start)
            further = f"; it is {kind}" if kind else ""
            raise ValueError(f"{self}: {error}{further}") from error
        entries = {_entry_name(info): info for info in self._zip.infolist()}
        entries = {
            name: info
            for name, info in entries.items()
            if not name.endswith("/") and not is_clutter(name)
        }
        for name, info in entries.items():
            if info.flag_bits & _ENCRYPTED:
                raise ValueError(f"{self}: {name} is encrypted, unpack it yourself")
        self._entries = {
            posixpath.normpath(name): info for name, info in entries.items()
        }
        self._top = _top_folder(self._entries) or self._folder_of_its_name()

    def _folder_of_its_name(self) -> str:
        stem = self._path.stem
        return (
            stem if any(name.startswith(f"{stem}/") for name in self._entries) else ""
        )

    def __getstate__(self) -> dict:
        return {"_path": self._path}

    def __setstate__(self, state: dict) -> None:
        self._path = state["_path"]
        self._read_index()

    def __str__(self) -> str:
        return os.fspath(self._path)

    def names(self) -> Iterator[str]:
        """Yields the names of its own files, sorted, without clutter."""
        for name in sorted(self._entries):
            folder, _, own = name.rpartition("/")
            if folder == self._top:
                yield own

    def open(self, name: str) -> BinaryIO:
        """Opens a file to read a part of it; raises OSError."""
        return io.BytesIO(self.read(name))

    def read(self, name: str) -> bytes:
        """Returns the content of a file; raises OSError."""
        info = self._entries.get(posixpath.join(self._top, name))
        info = info or self._entries.get(name)
        if info is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        try:
            return self._zip.read(info)
        except _BROKEN as error:
            raise OSError(errno.EIO, f"broken in the archive: {error}", name) from error


def _entry_name(info: zipfile.ZipInfo) -> str:
    """The name of an entry as a path, which Windows writes with backslashes.

    macOS writes UTF-8 and does not say so.
    """
    name = info.filename
    if not info.flag_bits & _UTF8:
        try:
            name = name.encode("cp437").decode()
        except UnicodeError:
            pass
    return name.replace("\\", "/")


def _top_folder(names: Collection[str]) -> str:
    """The folder that holds all files but documents; "" where there is no such one."""
    data = [name for name in names if not _is_document(name)]
    folders = {posixpath.dirname(name) for name in data or names}
    absolute = any(folder.startswith("/") for folder in folders)
    return "" if absolute or not folders else posixpath.commonpath(folders)


def _names_below(folder: epath.Path, prefix: str, walked: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in walked:
        return
    walked.add(real)
    children = sorted(child for child in folder.iterdir() if not is_clutter(child.name))
    inner = [child for child in children if child.is_dir()]
    for child in sorted(set(children) - set(inner)):
        yield prefix + child.name
    # A folder is known by its own name, where links lead to it too.
    for child in sorted(inner, key=lambda child: (os.path.islink(child), child.name)):
        yield from _names_below(child, f"{prefix}{child.name}/", walked)


def open_folder(path: epath.PathLike) -> Folder | Archive | None:
    """Returns the directory or archive at a path, or `path.zip`; None for neither.

    An archive may have been unpacked into a directory of its own name, `a/a`; then the
    inner directory is returned.
    """
    path = epath.Path(path).expanduser()
    if path.is_dir():
        inner = path / path.name
        nested = inner.is_dir() and all(map(_is_document, Folder(path).names()))
        return Folder(inner if nested else path)
    for archive in (path, path.with_name(path.name + ".zip")):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            return Archive(archive)
    return None


def _is_document(name: str) -> bool:
    return name.lower().endswith(_DOCUMENTS)
