"""A file of another server, within a number of bytes and of seconds.

A timeout of urllib starts anew with every packet, and its thread cannot be stopped. A
task of asyncio has one deadline for all of it, and ends with the request it is for.
"""

import asyncio
from urllib.parse import SplitResult

import h11

_PORTS = {"http": 80, "https": 443}
_CHUNK = 1 << 16  # bytes


async def fetched(
    url: SplitResult, headers: dict[str, str], *, most_bytes: int, seconds: float
) -> bytes:
    """Returns the file at an address of http or https.

    Redirections are not followed. Raises OSError where no whole file comes in time,
    ValueError for a status other than 200, for a file that is too long, and for what
    is not HTTP.
    """
    port = url.port or _PORTS[url.scheme]
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(
                url.hostname, port, ssl=url.scheme == "https" or None
            )
            try:
                return await _answer(url, headers, reader, writer, most_bytes)
            finally:
                writer.transport.abort()  # a polite end would have to be waited for
    except TimeoutError as error:
        raise TimeoutError(f"not whole after {seconds:g} seconds") from error
    except h11.ProtocolError as error:
        raise ValueError(str(error)) from error


async def _answer(
    url: SplitResult,
    headers: dict[str, str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    most_bytes: int,
) -> bytes:
    """Asks for the file, and returns the body of the answer."""
    client, data = h11.Connection(h11.CLIENT), bytearray()
    target = (url.path or "/") + (url.query and f"?{url.query}")
    own = {"Host": url.netloc.rpartition("@")[2], "Connection": "close"}
    asking = h11.Request(
        method="GET", target=target, headers=[*(own | headers).items()]
    )
    writer.write(
        (client.send(asking) or b"") + (client.send(h11.EndOfMessage()) or b"")
    )
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            part = await reader.read(_CHUNK)
            if not part and client.their_state is h11.SEND_RESPONSE:
                raise ConnectionError("closed without an answer")
            client.receive_data(part)
        elif isinstance(event, h11.Response) and event.status_code != 200:
            there = f"{url.scheme}://{own['Host']}"
            raise ValueError(f"{there} answers {event.status_code}")
        elif isinstance(event, h11.Data):
            data += event.data
            if len(data) > most_bytes:
                raise ValueError(f"longer than {most_bytes / 1e6:g} MB")
    return bytes(data)
