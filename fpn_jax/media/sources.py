"""From what was typed to pictures and videos."""

import glob
import sys
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from fpn_jax.data.example import UnreadableImage
from fpn_jax.data.formats.clutter import is_clutter
from fpn_jax.data.given_images import read_image
from fpn_jax.data.heif import HEIF_SUFFIXES
from fpn_jax.data.image import IMAGE_SUFFIXES, decode_image
from fpn_jax.data.web import is_web_address
from fpn_jax.media.picture import Picture, Source
from fpn_jax.media.video import (
    VIDEO_SUFFIXES,
    is_stream,
    last_part,
    open_camera,
    open_video,
)


class Found(NamedTuple):
    """A source that is not opened yet, and the files that it reads."""

    open: Callable[[], Source]  # raises UnreadableImage, one line
    files: tuple[Path, ...] = ()


_STANDARD_INPUT = "-"
_GLOB = set("*?[")


def find_sources(
    given: str, *, every: int = 1, without: Sequence[Path] = ()
) -> list[Found]:
    """Returns the pictures and videos that were asked for.

    `given` is a file, a folder (with the folders in it), a pattern such as `a/*.jpg` or
    `a/**/*.jpg`, a text file of a path or address a line, a zip archive of images, a
    web address, a video, a stream (`rtsp://…`), the number of a camera, or `-`: an
    image or a list on standard input. A file is looked for before it is found to be
    none of these.

    Args:
        given: as it was typed.
        every: of a video every n-th frame is taken.
        without: folders in a given folder whose files are left out.

    Raises ValueError, one line, where there is nothing of that name.
    """
    path = Path(given)
    if given == _STANDARD_INPUT:
        return _on_standard_input(every)
    if is_stream(given) or is_web_address(given):
        return _of_files([_Place(given, PurePath(last_part(given)))], given, every)
    if path.is_dir():
        return _of_files(_in_folder(path, without), given, every)
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return [_stills(given, _in_archive(path), [path])]
        if path.suffix.lower() == ".txt":
            listed = _listed(path.read_text("utf-8-sig"), given, path.parent)
            found = _of_files(listed, given, every)
            return [source._replace(files=(path, *source.files)) for source in found]
    elif given.isdecimal():
        return [Found(partial(open_camera, int(given), every=every))]
    elif _GLOB & set(given):
        return _of_files(_matching(given), given, every)
    return _of_files([_Place(given, PurePath(path.name))], given, every)


class _Place(NamedTuple):
    """A file that is asked for, or an address."""

    path: str
    place: PurePath  # relative path for what is written of it


def _of_files(files: Sequence[_Place], name: str, every: int) -> list[Found]:
    """Returns the images as one source, then each video as one."""
    videos = [file for file in files if _is_video(file.path)]
    images = [file for file in files if not _is_video(file.path)]
    found = []
    if images:
        pictures = [
            Picture(path, place, partial(read_image, path)) for path, place in images
        ]
        found.append(_stills(name, pictures, [Path(path) for path, _ in images]))
    for path, place in videos:
        opened = partial(open_video, path, place, every=every)
        found.append(Found(opened, (Path(path),)))
    return found


def _stills(name: str, pictures: Sequence[Picture], files: Sequence[Path]) -> Found:
    return Found(lambda: Source(name, iter(pictures), len(pictures)), tuple(files))


def _in_folder(folder: Path, without: Sequence[Path]) -> list[_Place]:
    apart = {path.resolve() for path in without} - {folder.resolve()}
    places = [
        _Place(str(path), place)
        for path in sorted(folder.rglob("*"))
        if _is_picture(place := path.relative_to(folder))
        and path.is_file()
        and not apart & {*path.resolve().parents}
    ]
    if not places:
        raise ValueError(f"images: no file in {str(folder)!r} is {_KINDS}")
    return places


def _matching(pattern: str) -> list[_Place]:
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    files = [path for path in paths if path.is_file() and _is_picture(path)]
    if not files:
        found = f"none of {len(paths)} that match is" if paths else "no file is"
        raise ValueError(f"images: {pattern!r}: {found} {_KINDS}")
    return [_Place(str(path), PurePath(path.name)) for path in files]


def _listed(text: str, name: str, folder: Path) -> list[_Place]:
    """Returns the files of a list; relative paths start at its folder, or here."""
    lines = [line.strip() for line in text.splitlines()]
    listed = [line for line in lines if line and not line.startswith("#")]
    if not listed:
        raise ValueError(f"images: {name!r} lists no file")
    places = []
    for line in listed:
        beside = folder / line
        path = line if is_web_address(line) or not beside.exists() else str(beside)
        places.append(_Place(path, PurePath(last_part(line))))
    return places


def _in_archive(path: Path) -> list[Picture]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"images: {str(path)!r} is no zip archive: {error}") from error
    pictures = [
        Picture(
            f"{path}/{member.filename}",
            PurePosixPath(member.filename),
            partial(_member, archive, member, f"{path}/{member.filename}"),
        )
        for member in sorted(archive.infolist(), key=lambda member: member.filename)
        if not member.is_dir() and _is_image(PurePosixPath(member.filename))
    ]
    if not pictures:
        raise ValueError(f"images: no file in {str(path)!r} is {_AN_IMAGE}")
    return pictures


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str):
    try:
        data = archive.read(member)
    except Exception as error:  # damaged, encrypted, of an unknown compression
        raise UnreadableImage(f"{name}: {' '.join(str(error).split())}") from error
    return decode_image(data, name)


def _on_standard_input(every: int) -> list[Found]:
    data, name = sys.stdin.buffer.read(), "standard input"
    if not data:
        raise ValueError("images: nothing on standard input")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" not in text:
        return _of_files(_listed(text, name, Path()), name, every)
    read = partial(decode_image, data, name)
    return [_stills(name, [Picture(name, PurePath("standard-input"), read)], [])]


def _is_picture(place: PurePath) -> bool:
    known = place.suffix.lower() in (*IMAGE_SUFFIXES, *HEIF_SUFFIXES, *VIDEO_SUFFIXES)
    return known and not is_clutter(place.as_posix())


def _is_image(place: PurePath) -> bool:
    return _is_picture(place) and not _is_video(place.name)


def _is_video(path: str) -> bool:
    suffix = PurePosixPath(last_part(path)).suffix.lower()
    return is_stream(path) or suffix in VIDEO_SUFFIXES


_AN_IMAGE = "an image (.jpg .png .webp …)"
_KINDS = f"{_AN_IMAGE} or a video (.mp4 .mov .mkv …)"
