"""The application: what is answered at which path."""

import threading
from asyncio import Semaphore
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module, resources
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp

from fpn_jax.choices import check_choice
from fpn_jax.results.classes import class_labels
from fpn_jax.runtime import num_cores
from fpn_jax.serving.answers import Answer, Wanted, as_json
from fpn_jax.serving.batching import Batcher
from fpn_jax.serving.bodies import image_bytes
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.detecting import Serving, admitted, detected, while_awaited
from fpn_jax.serving.engine import Engine
from fpn_jax.serving.error_lines import answer_errors
from fpn_jax.serving.metrics import count_batches_in, new_metrics, with_counted_answers
from fpn_jax.serving.refusals import Refused

_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"image": _IMAGE["schema"]},
        "required": ["image"],
    }
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "An image file, as it is or in a form.",
        "content": {"image/*": _IMAGE, "multipart/form-data": _FORM},
    }
}
# The page is all that it needs: nothing of it comes from elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'"
)


@dataclass(frozen=True)
class Refusal:
    """Why a request was refused."""

    error: str  # one line


def new_serving(
    engine: Engine, bounds: Bounds, *, wait_seconds: float, threads: int | None = None
) -> Serving:
    """Returns the state that all requests of a server share, before compilation.

    Args:
        engine: the detector.
        bounds: limits of the requests.
        wait_seconds: how long an image waits for others of its canvas.
        threads: that decode, and that encode; None: as many as cores.
    """
    metrics = new_metrics()
    batcher = Batcher(engine, wait_seconds, count_batches_in(metrics))
    metrics.waiting.set_function(lambda: batcher.waiting)
    return Serving(
        engine,
        batcher,
        bounds,
        metrics,
        Semaphore(bounds.requests),
        ThreadPoolExecutor(threads or num_cores(), "decoder"),
        ThreadPoolExecutor(threads or num_cores(), "encoder"),
        threading.Event(),
        threading.Event(),
    )


def make_app(
    serving: Serving,
    add: Callable[[FastAPI, Serving], object] = lambda app, serving: None,
) -> ASGIApp:
    """Returns the application; `add` may give it more paths before it is finished."""
    app = FastAPIOffline(
        redoc_url=None,
        title=f"fpn_jax: {serving.engine.name}",
        version=import_module("fpn_jax").__version__,
        description="Objects in images.",
    )
    answer_errors(app)
    _add_detection(app, serving)
    _add_states(app, serving)
    _add_page(app)
    add(app, serving)
    routes = frozenset({"/", "/docs", *app.openapi()["paths"]})
    return with_counted_answers(_closing(app, serving), serving.metrics, routes)


def _add_detection(app: FastAPI, serving: Serving) -> None:
    statuses = (400, 408, 411, 413, 415, 422, 503, 504)
    refusals = {status: {"model": Refusal} for status in statuses}

    @app.post(
        "/detect",
        openapi_extra=_BODY,
        responses={200: {"model": Answer}, **refusals},
    )
    async def detect(
        request: Request,
        score_threshold: Annotated[
            float, Query(ge=0, le=1, description="Lowest score of an object.")
        ] = 0.0,
        classes: Annotated[
            tuple[str, ...],
            Query(description="Names or labels of the classes; by default all."),
        ] = (),
    ) -> Response:
        """The objects in an image, in pixels of the upright image, by falling score."""
        _check_query(request, ("score_threshold", "classes"))
        wanted = Wanted(score_threshold, _labels(classes, serving.engine))
        async with admitted(serving):
            data = await image_bytes(request, serving.bounds)
            work = detected(serving, data, wanted, as_json)
            body = await while_awaited(request, work, serving.bounds)
        return Response(body, media_type="application/json")


def _check_query(request: Request, known: Collection[str]) -> None:
    """Raises Refused for an option that is not known, which would be passed over."""
    for name in request.query_params:
        try:
            check_choice("query", name, known)
        except ValueError as error:
            raise Refused(422, str(error)) from error


def _labels(classes: tuple[str, ...], engine: Engine) -> frozenset[int] | None:
    try:
        return frozenset(class_labels(classes, engine.categories)) if classes else None
    except ValueError as error:
        raise Refused(422, str(error)) from error


def _add_states(app: FastAPI, serving: Serving) -> None:
    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> JSONResponse:
        """Whether the process answers; Label Studio reads the status."""
        return JSONResponse({"status": "UP", "model": serving.engine.name})

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", responses={503: {"model": Refusal}})
    async def ready() -> JSONResponse:
        """Whether images should be sent: programs are compiled, and it goes on."""
        if serving.stopping.is_set():
            raise Refused(503, "server: it is stopping")
        if not serving.ready.is_set():
            raise Refused(503, "server: its programs are being compiled")
        engine = serving.engine
        return JSONResponse(
            {
                "status": "ready",
                "model": engine.name,
                "canvases": engine.canvases,
                "batch_size": engine.batch_size,
                "classes": [category.name for category in engine.categories],
            }
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        """The metrics for Prometheus."""
        text = generate_latest(serving.metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    page = resources.files("fpn_jax.serving").joinpath("page.html").read_text("utf-8")

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def _closing(app: ASGIApp, serving: Serving) -> ASGIApp:
    """Returns the application that ends connections once the server is stopping."""

    async def closing(scope, receive, send) -> None:
        async def saying(message) -> None:
            if message["type"] == "http.response.start" and serving.stopping.is_set():
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, saying)

    return closing
