"""Where the files of a data set lie: a directory, also a remote one, or an archive."""

import errno
import io
import os
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from etils import epath


class Folder:
    """A directory: local, or one that epath knows, such as `gs://bucket/coco`."""

    def __init__(self, path: epath.PathLike):
        self._path = epath.Path(path).expanduser()

    def __str__(self) -> str:
        return os.fspath(self._path)

    def names(self) -> Iterator[str]:
        """Yields the names of its own files, sorted."""
        yield from sorted(path.name for path in self._path.iterdir() if path.is_file())

    def open(self, name: str) -> BinaryIO:
        """Opens a file to read a part of it; raises OSError."""
        return cast(BinaryIO, (self._path / name).open("rb"))

    def read(self, name: str) -> bytes:
        """Returns the content of a file; raises OSError."""
        return (self._path / name).read_bytes()


class Archive:
    """A zip archive; where all its files lie in one folder, that folder.

    So COCO's `train2017.zip` is the folder `train2017`. Threads may read at once; the
    copy that another process gets opens the file again.
    """

    def __init__(self, path: epath.PathLike):
        self._path = epath.Path(path).expanduser()
        self._read_index()

    def _read_index(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self._path.open("rb"))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{self}: {error}") from error
        files = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        top = posixpath.commonpath(list(map(posixpath.dirname, files)) or [""]) or "."
        self._names = {posixpath.relpath(name, top): name for name in files}

    def __getstate__(self) -> dict:
        return {"_path": self._path}

    def __setstate__(self, state: dict) -> None:
        self._path = state["_path"]
        self._read_index()

    def __str__(self) -> str:
        return os.fspath(self._path)

    def names(self) -> Iterator[str]:
        """Yields the names of its own files, sorted."""
        yield from sorted(name for name in self._names if "/" not in name)

    def open(self, name: str) -> BinaryIO:
        """Opens a file to read a part of it; raises OSError."""
        return io.BytesIO(self.read(name))

    def read(self, name: str) -> bytes:
        """Returns the content of a file; raises OSError."""
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        try:
            return self._zip.read(self._names[name])
        except (zipfile.BadZipFile, zlib.error) as error:
            raise OSError(errno.EIO, f"broken in the archive: {error}", name) from error


def open_folder(path: epath.PathLike) -> Folder | Archive | None:
    """Returns the directory or archive at a path, or `path.zip`; None for neither."""
    path = epath.Path(path).expanduser()
    if path.is_dir():
        return Folder(path)
    for archive in (path, path.with_name(path.name + ".zip")):
        if archive.suffix == ".zip" and archive.is_file():
            return Archive(archive)
    return None
