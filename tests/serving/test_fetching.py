"""A file of another server: whole, in time, and not too long."""

import asyncio
import contextlib
import socket
import socketserver
import threading
import time
from urllib.parse import urlsplit

import pytest

from fpn_jax.serving.fetching import fetched

OK = b"HTTP/1.1 200 OK\r\n"


@contextlib.contextmanager
def server_of(*parts: bytes, pause: float = 0.0):
    """Gives the address of a server that sends these parts, and the heads it has had.

    Nothing is sent before the head of a request has come.
    """
    heads = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heads.append(self.request.recv(10_000).decode())
            with contextlib.suppress(OSError):
                for part in parts:
                    self.request.sendall(part)
                    time.sleep(pause)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", heads
        server.shutdown()


def fetch(url: str, seconds: float = 30.0, **headers: str) -> bytes:
    work = fetched(urlsplit(url), headers, most_bytes=10, seconds=seconds)
    return asyncio.run(work)


@pytest.mark.parametrize(
    "parts",
    [
        (OK + b"Content-Length: 10\r\n\r\n", b"01234", b"56789"),
        (
            OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n",
            b"6\r\n456789\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n0123456789",),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            OK + b"Content-Length: 10\r\n\r\n0123456789",
        ),
    ],
)
def test_a_file_comes_in_any_of_the_ways_of_http(parts):
    with server_of(*parts) as (home, _):
        assert fetch(home) == b"0123456789"


def test_the_request_names_path_query_host_and_headers():
    with server_of(OK + b"Content-Length: 0\r\n\r\n") as (home, heads):
        assert fetch(f"{home}/a%20b?c=d#e", Authorization="Token t") == b""
        assert fetch(home) == b""
    first, second = (head.split("\r\n") for head in heads)
    assert first[0] == "GET /a%20b?c=d HTTP/1.1" and second[0] == "GET / HTTP/1.1"
    assert f"Host: {home.removeprefix('http://')}" in first
    assert "Authorization: Token t" in first


@pytest.mark.parametrize(
    "parts, error",
    [
        ((OK + b"Content-Length: 11\r\n\r\n0123456789a",), "longer than 1e-05 MB"),
        ((b"HTTP/1.0 200 OK\r\n\r\n0123456789a",), "longer than 1e-05 MB"),
        ((OK + b"Content-Length: 10\r\n\r\n012",), "received 3 bytes, expected 10"),
        ((b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n",), "answers 302"),
        ((), "disconnected without sending a response"),
        ((b"220 mail.here ESMTP\r\n\r\n",), "illegal status line"),
    ],
)
def test_anything_but_a_whole_file_is_an_error(parts, error):
    with server_of(*parts) as (home, heads):
        with pytest.raises((OSError, ValueError), match=error):
            fetch(home)
        assert len(heads) == 1


@pytest.mark.parametrize(
    "head", [b"", OK, OK + b"Content-Length: 9\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(head):
    trickle = [b"x"] * 9 if head.endswith(b"\r\n\r\n") else [b"x"] * 200
    with server_of(head, *trickle, pause=0.3) as (home, _):
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="not whole after 0.5 seconds"):
            fetch(home, seconds=0.5)
        assert time.monotonic() - start < 2


def test_nobody_at_the_address_is_an_error():
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="connection attempts failed"):
            fetch(f"http://127.0.0.1:{bound.getsockname()[1]}")
