"""A server that runs in a thread, and that stops without losing a request."""

import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.detecting import Serving
from fpn_jax.serving.engine import warm_up

_BACKLOG = 1024  # connections that the system holds until they are accepted
_KEEP_ALIVE = 75  # seconds; longer than what proxies keep, so that they close first
_POLL = 0.02  # seconds
# After the last connection is accepted, requests on open ones are answered so long.
GRACE_SECONDS = 1.0


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    server: uvicorn.Server
    thread: threading.Thread
    serving: Serving
    compiling: threading.Thread
    failures: list[BaseException]  # of compiling


def start_server(
    app: ASGIApp,
    serving: Serving,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object] = lambda: None,
) -> Running:
    """Returns the server once it accepts connections; programs are compiled beside it.

    `on_ready` is called when they are. Where they cannot be, `failures` has the error.
    """
    server, failures = uvicorn.Server(_config(app, serving.bounds)), []

    def compile_all() -> None:
        try:
            warm_up(serving.engine)
        except BaseException as error:  # is raised where the server was started
            failures.append(error)
        else:
            serving.batcher.start()
            serving.ready.set()
            on_ready()

    # Signals are the caller's: uvicorn takes them in the main thread alone.
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    compiling = threading.Thread(target=compile_all, name="compiler", daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(_POLL)
    compiling.start()
    return Running(server, thread, serving, compiling, failures)


def stop_server(running: Running) -> None:
    """Returns when all requests that were accepted are answered.

    New connections are refused at once. Those that are open get a second for a request
    that is on its way, and each answer closes its connection.
    """
    server, serving = running.server, running.serving
    if running.thread.is_alive():
        loop = server.servers[0].get_loop()
        # A timer comes after the connections that its turn of the loop has found.
        loop.call_soon_threadsafe(loop.call_later, 0, _close, running)
        time.sleep(GRACE_SECONDS)
    server.should_exit = True
    running.thread.join()
    if serving.ready.is_set():
        serving.batcher.close()
    serving.decoders.shutdown()
    serving.encoders.shutdown()


def _close(running: Running) -> None:
    """Ends accepting, and only then tells clients that connections end."""
    for listening in running.server.servers:
        listening.close()
    running.serving.stopping.set()


def _config(app: ASGIApp, bounds: Bounds) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(bounds.body_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what strangers send is no news
        access_log=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_longest(bounds),
        server_header=False,
    )


def _longest(bounds: Bounds) -> int:
    """Returns the seconds after which no request can be without an answer."""
    return math.ceil(bounds.body_seconds + bounds.answer_seconds + 1)


def _protocol(seconds: float) -> Any:
    """Returns uvicorn's protocol, which closes connections that ask for nothing.

    A head that is not whole so many seconds after its first byte is none, and so is
    the rest of a body that was answered before its end. Without a byte, a connection is
    kept as long as that at first, and `_KEEP_ALIVE` after an answer.
    """

    def made(**given: Any) -> H11Protocol:
        protocol = H11Protocol(**given)
        receive, watched = protocol.data_received, None  # the last cycle with a timer

        def give_up(cycle: Any) -> None:
            if protocol.cycle is cycle:  # no request since
                protocol.timeout_keep_alive_handler()

        def data_received(data: bytes) -> None:
            nonlocal watched
            receive(data)
            cycle = protocol.cycle
            if cycle and cycle.response_complete and cycle is not watched:
                watched = cycle
                protocol.loop.call_later(seconds, give_up, cycle)

        protocol.data_received = data_received
        protocol.loop.call_later(seconds, give_up, None)
        return protocol

    return made
