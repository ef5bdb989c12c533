"""A file of another server, within a number of bytes and of seconds.

Timeouts of HTTP libraries start anew with every packet. A task of asyncio has one
deadline for all of it, and ends with the request it is for.
"""

import asyncio
from urllib.parse import SplitResult

import httpx


async def fetched(
    url: SplitResult, headers: dict[str, str], *, most_bytes: int, seconds: float
) -> bytes:
    """Returns the file at an address of http or https.

    Redirections are not followed, and the environment names no proxy. Raises OSError
    where no whole file comes in time, ValueError for a status other than 200, for a
    file that is too long, and for an answer that is not HTTP.
    """
    plain = {"Accept-Encoding": "identity"}  # a few bytes could become gigabytes
    data = bytearray()
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream("GET", url.geturl(), headers=plain | headers) as answer,
        ):
            if answer.status_code != 200:
                there = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
                raise ValueError(f"{there} answers {answer.status_code}")
            async for part in answer.aiter_raw():
                data += part
                if len(data) > most_bytes:
                    raise ValueError(f"longer than {most_bytes / 1e6:g} MB")
    except TimeoutError as error:
        raise TimeoutError(f"not whole after {seconds:g} seconds") from error
    except (httpx.RemoteProtocolError, httpx.InvalidURL) as error:
        raise ValueError(str(error)) from error
    except httpx.HTTPError as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    return bytes(data)
