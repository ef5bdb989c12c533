"""Files that are named by a web address."""

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request

from fpn_jax.data.example import UnreadableImage

_SILENCE = 30.0  # seconds without a byte, after which a connection is broken off
_UNQUOTED = "/%:=&?~+!$,;'@()*[]"  # beside letters and digits
_LARGEST = 256 << 20  # bytes; the largest photographs have a tenth


def is_web_address(name: str | os.PathLike) -> bool:
    """Whether it names a file on the web: `http://…` or `https://…`."""
    # A `Path` has lost one of the two slashes.
    return os.fspath(name).lower().startswith(("http:/", "https:/"))


def fetch(address: str) -> bytes:
    """Returns the file at an address.

    Raises UnreadableImage, one line that names the address, where it cannot be had
    within half a minute without a byte, or is larger than 256 MiB.
    """
    scheme, _, rest = address.partition(":")
    url = f"{scheme}://{rest.lstrip('/')}"
    try:
        request = urllib.request.Request(
            _in_ascii(url), headers={"User-Agent": "fpn_jax"}
        )
        with urllib.request.urlopen(request, timeout=_SILENCE) as response:
            data = response.read(_LARGEST + 1)
            missing = len(data) <= _LARGEST and response.length
    except urllib.error.HTTPError as error:
        error.close()
        raise UnreadableImage(f"{url}: the server answers {error.code}") from error
    except urllib.error.URLError as error:
        raise UnreadableImage(_not_fetched(url, error.reason)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableImage(_not_fetched(url, error)) from error
    if missing:
        raise UnreadableImage(f"{url}: broke off, {missing} bytes are missing")
    if len(data) > _LARGEST:
        raise UnreadableImage(f"{url}: larger than {_LARGEST >> 20} MiB")
    return data


def _in_ascii(url: str) -> str:
    """Returns an address as browsers send it: ü as %C3%BC, and hosts as IDNA has it."""
    parts = urllib.parse.urlsplit(url)
    host = (
        parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    )
    path, query = (urllib.parse.quote(x, _UNQUOTED) for x in (parts.path, parts.query))
    return urllib.parse.urlunsplit((parts.scheme, host, path, query, ""))


def _not_fetched(url: str, reason: object) -> str:
    return f"{url}: cannot be fetched: {' '.join(str(reason).split())}"
