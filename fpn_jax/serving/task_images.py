"""Images that tasks of Label Studio name: at its own address, or in the task itself."""

import base64
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.refusals import Refused


def task_images(
    address: str, token: str | None, bounds: Bounds
) -> Callable[[str], bytes]:
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
    opener = urllib.request.build_opener(_Staying)

    def fetched(name: str) -> bytes:
        if name.startswith("data:"):
            return _in_address(name)
        there = _split(name, address)
        if there is None or there[:2] != home[:2]:
            raise Refused(422, f"image: {name[:80]!r} is not an address of {address}")
        headers = {"Authorization": f"Token {token}"} if token else {}
        try:
            asked = urllib.request.Request(there.geturl(), headers=headers)
            with opener.open(asked, timeout=bounds.body_seconds) as response:
                data = response.read(bounds.body_bytes + 1)
        except urllib.error.HTTPError as error:
            error.close()
            raise _not_had(name, f"{address} answers {error.code}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _not_had(name, error) from error
        if len(data) > bounds.body_bytes:
            raise _not_had(name, f"longer than {bounds.body_bytes / 1e6:g} MB")
        return data

    return fetched


def _split(url: str, base: str = "") -> urllib.parse.SplitResult | None:
    """Returns the parts of an address; None: it is none, such as `http://[x`."""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(base, url))
        _ = parts.port  # is only read from the text when it is asked for
    except ValueError:
        return None
    return parts


class _Staying(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_) -> None:
        return None


def _in_address(name: str) -> bytes:
    try:
        return base64.b64decode(name.partition(",")[2], validate=True)
    except ValueError as error:  # binascii's own is one, and so is a letter like é
        raise _not_had(name, error) from error


def _not_had(name: str, reason: object) -> Refused:
    said = " ".join(str(reason).split())
    return Refused(422, f"image: {name[:80]!r} cannot be had: {said}")
