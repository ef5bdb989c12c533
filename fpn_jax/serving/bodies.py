"""The bytes of the image that a request sends, raw or as a file of a form."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.refusals import GONE, Refused

_FORM = "multipart/form-data"
_RAW = "application/octet-stream"


async def image_bytes(request: Request, bounds: Bounds) -> bytes:
    """Returns the image file of a request.

    Raises Refused where there is none, or where it is too large or comes too slowly;
    what is stated in the head is refused before the body is read.
    """
    kind = _media_type(request.headers)
    check_length(request.headers, bounds)
    body = counted_body(request, bounds)
    reading = _of_form(request, body, bounds) if kind == _FORM else joined(body)
    data = await in_time(reading, bounds)
    if not data:
        raise Refused(400, "body: empty, must be an image file")
    return data


def check_length(headers: Headers, bounds: Bounds) -> None:
    """Raises Refused where a body has no stated end, or is too long by its head."""
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refused(415, f"content-encoding: {encoding[:40]!r} given, none is taken")
    if "transfer-encoding" in headers:
        return
    if (length := headers.get("content-length")) is None:
        raise Refused(411, "content-length: none given, the body's length is needed")
    if int(length) > bounds.body_bytes:
        raise _too_long(bounds)


async def counted_body(request: Request, bounds: Bounds) -> AsyncGenerator[bytes, None]:
    """Yields the body; raises Refused where it is longer than is allowed."""
    read = 0
    async for part in request.stream():
        if (read := read + len(part)) > bounds.body_bytes:
            raise _too_long(bounds)
        yield part


async def joined(body: AsyncGenerator[bytes, None]) -> bytes:
    """Returns the whole body."""
    return b"".join([part async for part in body])


async def in_time(reading: Awaitable[bytes], bounds: Bounds) -> bytes:
    """Returns what is read; raises Refused where it takes too long or breaks off."""
    try:
        async with asyncio.timeout(bounds.body_seconds):
            return await reading
    except TimeoutError:
        line = f"body: not whole after {bounds.body_seconds:g} seconds"
        raise Refused(408, line) from None
    except ClientDisconnect:
        raise Refused(GONE, "body: broke off") from None


def _media_type(headers: Headers) -> str:
    kind = headers.get("content-type", _RAW).partition(";")[0].strip().lower()
    if kind not in (_FORM, _RAW) and not kind.startswith("image/"):
        raise Refused(
            415,
            f"content-type: {kind[:80]!r} given, must be image/…, {_RAW} or {_FORM}; "
            "with curl: -F image=@photo.jpg",
        )
    return kind


async def _of_form(
    request: Request, body: AsyncGenerator[bytes, None], bounds: Bounds
) -> bytes:
    """Returns the only file of a form."""
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=1)
    parser.spool_max_size = bounds.body_bytes  # nothing is written to a disk
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        raise Refused(400, f"form: {getattr(error, 'message', error)}") from error
    files = []
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            raise Refused(
                400, f"form: {name[:40]!r} is no file; options belong to the query"
            )
        files.append(value)
    if not files:
        raise Refused(400, "form: no file in it, must be one image")
    try:
        return await files[0].read()
    finally:
        await form.close()


def _too_long(bounds: Bounds) -> Refused:
    limit = bounds.body_bytes / 1e6
    return Refused(413, f"body: longer than {limit:g} MB, which is the limit")
