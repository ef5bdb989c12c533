"""Servers on the loopback, engines that tests can hold, and a small client."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from fpn_jax.data.example import Category
from fpn_jax.serving.app import make_app, new_serving
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.detecting import Serving
from fpn_jax.serving.engine import Engine, Placed
from fpn_jax.serving.running import Running, start_server, stop_server
from fpn_jax.types import Detections
from tests.support.photograph import encoded

WIDE, HIGH = (32, 64), (64, 32)
NAMES = (Category(1, "cat"), Category(7, "dog"))


class Served(NamedTuple):
    """A server that runs, and what it keeps."""

    port: int
    serving: Serving
    running: Running


class Answered(NamedTuple):
    """What a server sent back."""

    status: int
    headers: dict[str, str]  # by names in small letters
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@contextlib.contextmanager
def served(engine: Engine, *, wait=0.002, add=lambda app, serving: None, **bounds):
    """Gives a `Served` whose programs are compiled."""
    serving = new_serving(engine, Bounds(**bounds), wait_seconds=wait, threads=2)
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    running = start_server(
        make_app(serving, add), serving, listener, on_ready=ready.set
    )
    try:
        assert ready.wait(300) and not running.failures
        yield Served(listener.getsockname()[1], serving, running)
    finally:
        stop_server(running)


def ask(port: int, method: str, path: str, body=None, headers=None) -> Answered:
    """Returns the answer to one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def answer_of(response: http.client.HTTPResponse) -> Answered:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answered(response.status, headers, response.read())


def ask_raw(port: int, data: bytes) -> Answered:
    """Returns the answer to bytes that are no request of a library's."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(data)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return answer_of(response)


def form(**files: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns a form with these files, and its headers."""
    parts = b"".join(
        f'--edge\r\nContent-Disposition: form-data; name="{name}"; '
        f'filename="{name}.png"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files.items()
    )
    kind = "multipart/form-data; boundary=edge"
    return parts + b"--edge--\r\n", {"Content-Type": kind}


def png(height: int = 20, width: int = 40) -> bytes:
    return encoded(Image.new("RGB", (width, height), "gray"), "PNG")


def engine_of(
    run: Callable[[np.ndarray, np.ndarray], object] = lambda images, sizes: None,
    *,
    batch_size: int = 4,
) -> Engine:
    """Returns an engine that finds a cat of 0.9 and a dog of 0.3 in each whole image.

    `run` is called with every batch, and may wait or fail.
    """

    def place(image: np.ndarray) -> Placed:
        size = image.shape[:2]
        pixels = image[:32, :32]
        canvas = WIDE if size[1] >= size[0] else HIGH
        return Placed(canvas, pixels, pixels.shape[:2], size)

    def detect(images: np.ndarray, sizes: np.ndarray) -> Detections:
        run(images, sizes)
        rows, (height, width) = len(sizes), sizes.astype(np.float32).T
        zeros = np.zeros_like(height)
        boxes = np.stack([zeros, zeros, width, height], -1)[:, None].repeat(2, 1)
        return Detections(
            boxes=boxes,
            scores=np.tile(np.float32([0.9, 0.3]), (rows, 1)),
            labels=np.tile(np.int32([0, 1]), (rows, 1)),
            valid=(sizes.min(axis=1) > 0)[:, None].repeat(2, 1),
        )

    return Engine("made-up", (WIDE, HIGH), batch_size, place, detect, NAMES)


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until something holds; fails where it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


def until_stopped(
    port: int, image: bytes, counts: Counter, lock: threading.Lock
) -> None:
    """Sends requests, and counts what comes of them, until no connection is taken.

    A connection is kept for as long as the server keeps it.
    """
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.connect()
        except OSError:
            return
        try:
            while True:
                connection.request("POST", "/detect", image)
                response = connection.getresponse()
                whole = bool(response.read())
                closing = response.getheader("connection") == "close"
                with lock:
                    counts[(response.status, whole)] += 1
                if closing:
                    break
        except (OSError, http.client.HTTPException) as error:
            with lock:
                counts[repr(error)] += 1
        finally:
            connection.close()


def metric(served: Served, name: str, **labels: str) -> float:
    """Returns a number of the server's metrics; 0 where it was not counted yet."""
    value = served.serving.metrics.registry.get_sample_value(name, labels)
    return 0.0 if value is None else value


class Gate(NamedTuple):
    """A device that holds the batches of requests until it is opened."""

    run: Callable[..., None]
    begun: threading.Event  # a batch is there
    opened: threading.Event


@contextlib.contextmanager
def gate() -> Iterator[Gate]:
    """Gives a gate, and opens it at the end."""
    begun, opened = threading.Event(), threading.Event()

    def run(images, sizes) -> None:
        if sizes.any():  # not where programs are warmed up
            begun.set()
            assert opened.wait(300)

    try:
        yield Gate(run, begun, opened)
    finally:
        opened.set()
