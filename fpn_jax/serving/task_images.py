"""Images that tasks of Label Studio name: at its own address, or in the task itself."""

import asyncio
import base64
import urllib.parse
from collections.abc import Awaitable, Callable

from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.fetching import fetched
from fpn_jax.serving.refusals import Refused

_AT_ONCE = 8  # images that Label Studio is asked for at the same time


def task_images(
    address: str, token: str | None, bounds: Bounds
) -> Callable[[str], Awaitable[bytes]]:
    """Returns a function from what a task names to the image file.

    That is a path or an address of Label Studio, or a `data:` address. No other is
    fetched: whoever may ask this server must not reach others through it. A redirection
    is not followed, because the token would go with it.

    Args:
        address: of Label Studio, `http://host:8080`.
        token: that it gives files for; None: it needs none.
        bounds: limits of an image.

    Raises ValueError for an address that is none.
    """
    home = _split(address)
    if home is None or home.scheme not in ("http", "https") or not home.hostname:
        raise ValueError(
            f"label-studio: {address!r} given, must be an address: http://host:8080"
        )
    headers = {"Authorization": f"Token {token}"} if token else {}
    places = asyncio.Semaphore(_AT_ONCE)

    async def image(name: str) -> bytes:
        if name.startswith("data:"):
            return await asyncio.to_thread(_in_address, name)
        there = _split(name, address)
        if there is None or there[:2] != home[:2]:
            raise Refused(422, f"image: {name[:80]!r} is not an address of {address}")
        try:
            async with places:
                return await fetched(
                    there,
                    headers,
                    most_bytes=bounds.body_bytes,
                    seconds=bounds.body_seconds,
                )
        except (OSError, ValueError) as error:
            raise _not_had(name, error) from error

    return image


def _split(url: str, base: str = "") -> urllib.parse.SplitResult | None:
    """Returns the parts of an address; None: it is none, such as `http://[x`."""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(base, url))
        _ = parts.port  # is only read from the text when it is asked for
    except ValueError:
        return None
    return parts


def _in_address(name: str) -> bytes:
    try:
        return base64.b64decode(name.partition(",")[2], validate=True)
    except ValueError as error:  # binascii's own is one, and so is a letter like é
        raise _not_had(name, error) from error


def _not_had(name: str, reason: object) -> Refused:
    said = " ".join(str(reason).split())
    return Refused(422, f"image: {name[:80]!r} cannot be had: {said}")
