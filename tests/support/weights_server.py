"""A web server on the loopback that gives a file as servers do, and as they should not.

Each request takes the next of `answers`, by name; without one the server is honest.
`requests` are the headers of all that came.
"""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 8192  # bytes written at once


class WeightsServer:
    """The content of a file, at any path, and how to answer the next requests."""

    def __init__(self, content: bytes):
        self.content, self.tag = content, '"1"'
        self.answers: list[str] = []
        self.requests: list[dict[str, str]] = []
        self.reached = threading.Event()  # a request that hangs has sent its part
        self.released = threading.Event()  # by the test
        self.url = ""


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[WeightsServer]:
    """Gives a server that answers until the block ends."""
    state = WeightsServer(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(dict(self.headers))
            answer = state.answers.pop(0) if state.answers else "honest"
            with contextlib.suppress(OSError):  # of a client that was killed
                _answer(self, state, answer)

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # of clients that were killed
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        state.released.set()
        server.shutdown()
        thread.join()


def _answer(handler, state: WeightsServer, answer: str) -> None:
    """Names with a number, as "break 40", do what they say at that percentage."""
    name, _, number = answer.partition(" ")
    if name == "status":
        _head(handler, int(number), {"Content-Length": "0"})
        return
    if name == "redirect":
        _head(handler, 302, {"Location": f"{state.url}/moved", "Content-Length": "0"})
        return
    if name == "page":
        state_page = b"<html>Please log in</html>"
        _head(handler, 200, {"Content-Length": str(len(state_page))})
        handler.wfile.write(state_page)
        return
    if name == "silence":  # the connection ends without a word
        handler.close_connection = True
        return
    content = state.content
    if name in ("wrong", "wrongbreak"):
        content = bytes(byte ^ 1 for byte in content[:100]) + content[100:]
        content = content[:-100] + bytes(byte ^ 1 for byte in content[-100:])
    if name == "short":
        content = content[:-1000]
    if name == "long":
        content = content + bytes(1000)
    start = 0 if name == "norange" else _asked(handler, state, content)
    body = content[start:]
    headers = {} if name == "notag" else {"ETag": state.tag}
    status = 206 if start else 200
    if start:
        first = start + 10 if name == "otherrange" else start
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
    if start >= len(content):
        headers["Content-Range"] = f"bytes */{len(content)}"
        _head(handler, 416, {**headers, "Content-Length": "0"})
        return
    if name.startswith("chunked"):
        _head(handler, status, {**headers, "Transfer-Encoding": "chunked"})
        _send_chunks(handler, body, end=name == "chunked")
        return
    length = len(body) + (1000 if name == "overstated" else 0)
    _head(handler, status, {**headers, "Content-Length": str(length)})
    if name in ("break", "wrongbreak", "hang"):
        _send(handler, body[: len(body) * int(number) // 100])
        if name == "hang":
            state.reached.set()
            state.released.wait(20)
        handler.close_connection = True
        return
    _send(handler, body)
    handler.close_connection = name == "overstated"


def _asked(handler, state: WeightsServer, content: bytes) -> int:
    """Returns the first byte that a client asks for, 0 where it asks for all."""
    asked = handler.headers.get("Range")
    if asked is None or handler.headers.get("If-Range", state.tag) != state.tag:
        return 0
    return int(asked.removeprefix("bytes=").removesuffix("-"))


def _head(handler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _send(handler, body: bytes) -> None:
    for start in range(0, len(body), _PIECE):
        handler.wfile.write(body[start : start + _PIECE])


def _send_chunks(handler, body: bytes, *, end: bool) -> None:
    half = len(body) // 2
    for part in (body[:half], body[half:]) if end else (body[:half],):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    if end:
        handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = not end
