"""One request on its way: admitted, decoded, put into a batch, answered or dropped."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from fpn_jax.serving.answers import Wanted
from fpn_jax.serving.batching import Batcher
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.decoding import placed_image
from fpn_jax.serving.engine import Engine
from fpn_jax.serving.metrics import Metrics
from fpn_jax.serving.refusals import GONE, Refused


@dataclass(frozen=True)
class Serving:
    """The parts that all requests of a server share."""

    engine: Engine
    batcher: Batcher
    bounds: Bounds
    metrics: Metrics
    places: asyncio.Semaphore  # as many as requests are let in
    decoders: ThreadPoolExecutor
    encoders: ThreadPoolExecutor  # apart: an answer waits for no decoding
    ready: threading.Event  # programs are compiled
    stopping: threading.Event  # no new connections


@contextlib.asynccontextmanager
async def admitted(serving: Serving) -> AsyncIterator[None]:
    """Holds one of the places; raises Refused where there is none, or not yet."""
    if not serving.ready.is_set():
        raise Refused(503, "server: its programs are being compiled")
    if serving.places.locked():
        raise Refused(
            503, f"server: {serving.bounds.requests} requests are waiting, try later"
        )
    async with serving.places:
        with serving.metrics.accepted.track_inprogress():
            yield


async def detected(
    serving: Serving, data: bytes, wanted: Wanted, encode: Callable[..., Any]
) -> Any:
    """Returns what `encode` makes of the objects in an image file (`answers.py`).

    Where it is cancelled, nothing that has not begun is begun.
    """
    loop, engine = asyncio.get_running_loop(), serving.engine
    placed = await loop.run_in_executor(
        serving.decoders, placed_image, data, engine, serving.bounds.pixels
    )
    found = await asyncio.wrap_future(serving.batcher.submit(placed))
    return await loop.run_in_executor(
        serving.encoders, encode, engine, placed, found, wanted
    )


async def while_awaited(
    request: Request, work: Coroutine[Any, Any, Any], bounds: Bounds
) -> Any:
    """Returns the result of the work; its request has been read to the end.

    Raises Refused, and drops the work, where it takes too long or the client is gone.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())  # gives nothing but a parting
    try:
        done, _ = await asyncio.wait(
            (working, leaving),
            timeout=bounds.answer_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if working in done:
            return working.result()
        if leaving in done:
            raise Refused(GONE, "client: gone before the answer")
        raise Refused(504, f"server: no answer after {bounds.answer_seconds:g} seconds")
    finally:
        working.cancel()
        leaving.cancel()
        # So that no batch takes the image after the client has read its answer.
        await asyncio.wait((working,), timeout=1)
