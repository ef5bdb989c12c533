"""One file of a web server, in as many connections as it takes.

The bytes go to a part beside the place of the file. A later call goes on with the part
where the server can tell that its file is still the same (an ETag or a date), or where
the whole will be held against a published digest.
"""

import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_CHUNK = 1 << 16
PAUSE = 1.0  # seconds before the second connection; then twice as long each time
SILENCE = 30.0  # seconds without a byte, after which a connection is broken off
_TRIES = 5  # in a row that get no further than those before
_LARGEST = 4 << 30  # bytes of a file whose size nobody states
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which to ask again


class DownloadError(ValueError):
    """A file that cannot be had; the message, one line, says why."""


class Wanted(NamedTuple):
    """The facts of a file that are known before its download."""

    has_digest: bool  # whether the whole will be held against one
    size_fault: Callable[[int], str | None]  # says how a number of bytes is wrong
    progress: Callable[[int, int | None], object]  # told the bytes done, and of all


class _BrokenOff(Exception):
    """A connection has not given the whole file, but another one may."""


class _NoAnswer(Exception):
    """Nobody answers at an address."""


class _Origin(NamedTuple):
    """The origin of the bytes of a part, kept beside the part."""

    url: str
    validator: str | None = None  # what the server tells states of its file apart by
    total: int | None = None  # bytes of the whole


def download(url: str, part: Path, wanted: Wanted) -> bool:
    """Writes a file to `part`, and returns whether it came in one connection.

    A connection that breaks off is followed by another, until five in a row have got no
    further than those before.

    Raises DownloadError. What has come by then stays in `part` where it is of use.
    """
    furthest, failures, answered = part_size(part), 0, False
    if furthest and _origin(part)[::2] == (url, furthest):
        return False  # it was whole when a kill came
    while True:
        try:
            with _opened(url, part, wanted) as response:
                answered = True
                return _receive(response, url, part, wanted)
        except _NoAnswer as error:
            if not answered:
                raise DownloadError(str(error)) from error
            reason = str(error)
        except _BrokenOff as error:
            answered, reason = True, str(error)
        failures = 1 if part_size(part) > furthest else failures + 1
        furthest = max(furthest, part_size(part))
        if failures == _TRIES:
            raise DownloadError(reason)
        time.sleep(PAUSE * 2 ** (failures - 1))


def part_size(part: Path) -> int:
    """Returns how many bytes have come."""
    return part.stat().st_size if part.exists() else 0


def forget(part: Path) -> None:
    """Removes a part and what is known of it."""
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)


def _opened(url: str, part: Path, wanted: Wanted) -> http.client.HTTPResponse:
    """Asks for a file, or for what its part lacks."""
    origin = _origin(part)
    if origin.url != url or not (wanted.has_digest or origin.validator):
        forget(part)
    headers = {"User-Agent": "fpn_jax", "Accept-Encoding": "identity"}
    if have := part_size(part):
        headers["Range"] = f"bytes={have}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"{_host(url)} answers {error.code} {_one_line(error.reason)}"
        if error.code == 416:  # it has no more bytes than the part
            forget(part)
        elif error.code not in _BUSY:
            raise DownloadError(answer) from error
        raise _BrokenOff(answer) from error
    except urllib.error.URLError as error:
        raise _NoAnswer(
            f"{_host(url)} cannot be reached: {_one_line(error)}"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # within the first lines
        raise _BrokenOff(f"{_host(url)} broke off: {_one_line(error)}") from error
    except ValueError as error:
        raise DownloadError(f"{url} is no address: {_one_line(error)}") from error


def _receive(
    response: http.client.HTTPResponse, url: str, part: Path, wanted: Wanted
) -> bool:
    """Writes what the server sends, and returns whether that is all of the file."""
    if url.startswith("https:") and not response.geturl().startswith("https:"):
        raise DownloadError(f"{_host(url)} leads to {response.geturl()}, without TLS")
    start, total = _range(response, part)
    _check_size(total, start, part, wanted)
    if not start:
        forget(part)
        validator = response.headers["ETag"] or response.headers["Last-Modified"]
        if validator and validator.startswith("W/"):  # which Range does not take
            validator = None
        _write_origin(part, _Origin(url, validator, total))
    done = start
    with part.open("ab") as file:
        wanted.progress(done, total)
        while total is None or done < total:
            chunk = _chunk(response, total and total - done)
            if not chunk:
                break
            done += len(chunk)
            if done > _LARGEST:
                forget(part)
                raise DownloadError(f"{_host(url)} sends more than {_LARGEST} bytes")
            _write(file, chunk, part)
            wanted.progress(done, total)
    if total is not None and done < total:
        raise _BrokenOff(f"{_host(url)} broke off at {done} of {total} bytes")
    return not start


def _range(response: http.client.HTTPResponse, part: Path) -> tuple[int, int | None]:
    """Returns the number of the first byte that comes, and of all the file has."""
    length = None if response.chunked else response.length
    if response.status == 200:
        return 0, length
    have, known = part_size(part), _origin(part).total
    stated = response.headers["Content-Range"] or ""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", stated.strip())
    if response.status == 206 and found and int(found[1]) == have:
        total = known if found[2] == "*" else int(found[2])
        if known in (None, total):
            return have, total
    forget(part)
    raise _BrokenOff(f"the server answers {response.status} with {stated!r:.60}")


def _check_size(total: int | None, start: int, part: Path, wanted: Wanted) -> None:
    """Raises DownloadError for a size that cannot be right, or for which is no room."""
    if total is None:
        if not wanted.has_digest:
            raise DownloadError("the server does not say how long the file is")
        return
    if (fault := wanted.size_fault(total)) or total > _LARGEST:
        forget(part)
        raise DownloadError(f"the server has another file: {fault or f'{total} bytes'}")
    free = shutil.disk_usage(part.parent).free
    if free < total - start:
        needed = f"{(total - start) / 1e6:.1f} MB more, the disk has {free / 1e6:.1f}"
        raise DownloadError(f"{part.parent} has no room for the file: {needed} MB left")


def _chunk(response: http.client.HTTPResponse, left: int | None) -> bytes:
    """Returns the next bytes; none at the end of what comes."""
    try:
        return response.read1(_CHUNK if left is None else min(_CHUNK, left))
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(f"the connection broke off: {_one_line(error)}") from error


def _write(file: Any, chunk: bytes, part: Path) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        forget(part)  # a full disk has better use for the room
        raise DownloadError(f"{part.parent} cannot be written: {error}") from error


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _origin(part: Path) -> _Origin:
    try:
        return _Origin(*json.loads(_origin_file(part).read_text()))
    except (OSError, ValueError, TypeError):
        return _Origin("")


def _write_origin(part: Path, origin: _Origin) -> None:
    """Is called before the part has its first byte, so that no part lacks it."""
    beside = part.with_name(f"{part.name}.new")
    beside.write_text(json.dumps(origin))
    os.replace(beside, _origin_file(part))


def _host(url: str) -> str:
    return url.partition("//")[2].partition("/")[0]


def _one_line(error: object) -> str:
    """Returns the words of an error, without the brackets that urllib puts around."""
    said = " ".join(str(error).split())
    return re.sub(r"^<urlopen error (.*)>$", r"\1", said) or type(error).__name__
