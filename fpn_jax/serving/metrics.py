"""The counters of a server, in the form that Prometheus reads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_COMPILATION = "/jax/core/compile/backend_compile_duration"


@dataclass(frozen=True)
class Metrics:
    """The instruments of one server, and the registry that they are in."""

    registry: CollectorRegistry
    requests: Counter
    seconds: Histogram
    accepted: Gauge
    waiting: Gauge
    batches: Histogram
    device: Histogram
    compilations: Counter


def new_metrics() -> Metrics:
    """Returns instruments that have counted nothing, and the process's own."""
    registry = CollectorRegistry()
    PlatformCollector(registry)
    ProcessCollector(registry=registry)
    counter = partial(Counter, registry=registry)
    gauge = partial(Gauge, registry=registry)
    histogram = partial(Histogram, registry=registry)
    return Metrics(
        registry=registry,
        requests=counter(
            "fpn_jax_requests",
            "Requests by route and status; 499: the client was gone.",
            ("route", "status"),
        ),
        seconds=histogram(
            "fpn_jax_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
        ),
        accepted=gauge(
            "fpn_jax_requests_accepted",
            "Requests for detections that are read, wait or are computed.",
        ),
        waiting=gauge("fpn_jax_queue_images", "Images that wait for the device."),
        batches=histogram(
            "fpn_jax_batch_images", "Images of requests in a batch.", buckets=_BATCHES
        ),
        device=histogram(
            "fpn_jax_batch_seconds", "Time of a batch on the device.", buckets=_SECONDS
        ),
        compilations=counter(
            "fpn_jax_compilations",
            "Programs that JAX compiled, or read from its cache.",
        ),
    )


def count_compilations_in(metrics: Metrics) -> None:
    """Counts what the process compiles from now on."""

    def note(event: str, duration_secs: float, **_: object) -> None:
        if event == _COMPILATION:
            metrics.compilations.inc()

    jax.monitoring.register_event_duration_secs_listener(note)


def count_batches_in(metrics: Metrics) -> Callable[[int, float], None]:
    """Returns what a `Batcher` tells its batches."""

    def told(images: int, seconds: float) -> None:
        metrics.batches.observe(images)
        metrics.device.observe(seconds)

    return told


def with_counted_answers(
    app: ASGIApp, metrics: Metrics, routes: frozenset[str]
) -> ASGIApp:
    """Returns the application that also counts its answers.

    Paths that are no route of the application are one, so that strangers cannot make
    series of their own.
    """

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        route = scope["path"] if scope["path"] in routes else "other"
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with metrics.seconds.labels(route).time():
            try:
                await app(scope, receive, noting)
            finally:
                metrics.requests.labels(route, str(status)).inc()

    return counting
