"""Label Studio's protocol of ML back ends: pre-annotations for its tasks."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from fpn_jax.results.label_studio import regions
from fpn_jax.serving.answers import Wanted, wanted_results
from fpn_jax.serving.bodies import check_length, counted_body, in_time, joined
from fpn_jax.serving.bounds import Bounds
from fpn_jax.serving.detecting import Serving, admitted, detected, while_awaited
from fpn_jax.serving.engine import Engine, Placed
from fpn_jax.serving.refusals import Refused
from fpn_jax.serving.task_images import task_images
from fpn_jax.types import Detections

# From what a task names to an image file.
Images = Callable[[str], Awaitable[bytes]]
Add = Callable[[FastAPI, Serving], object]


def label_studio_adder(
    address: str | None, token: str | None, bounds: Bounds, score_threshold: float
) -> Add:
    """Returns what gives an application the paths of the protocol, `make_app`'s `add`.

    Args:
        address: of the Label Studio; None: no paths are added.
        token: with which it gives images; None: it needs none.
        bounds: limits of its images.
        score_threshold: lowest score of an object.

    Raises ValueError for an address that is none.
    """
    if address is None:
        return lambda app, serving: None
    images = task_images(address, token, bounds)
    return lambda app, serving: _add_paths(app, serving, images, score_threshold)


def _add_paths(
    app: FastAPI, serving: Serving, images: Images, score_threshold: float
) -> None:
    """Adds `/setup` and `/predict`.

    `results/label_studio.py` has the labeling interface. `images` raises
    Refused for an image that is not taken.
    """
    version = serving.engine.name

    @app.post("/setup")
    async def setup() -> JSONResponse:
        """Answers Label Studio's question when the back end is connected."""
        return JSONResponse({"model_version": version})

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        """Pre-annotations for Label Studio's tasks."""
        async with admitted(serving):
            names = await _names(request, serving)
            work = _predictions(serving, images, names, Wanted(score_threshold))
            found = await while_awaited(request, work, serving.bounds)
        answer = {"results": found, "model_version": version}
        return JSONResponse(answer)


async def _names(request: Request, serving: Serving) -> list[str]:
    """Returns what the tasks of a request name as their images."""
    check_length(request.headers, serving.bounds)
    reading = joined(counted_body(request, serving.bounds))
    try:
        tasks = json.loads(await in_time(reading, serving.bounds))["tasks"]
        return [str(task["data"]["image"]) for task in tasks]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(
            400, 'body: must be JSON with "tasks", each with "data" and its "image"'
        ) from error


async def _predictions(
    serving: Serving, images: Images, names: list[str], wanted: Wanted
) -> list[dict[str, Any]]:
    """Returns a prediction for each image; so many at once as a batch has."""
    together = serving.engine.batch_size

    async def one(name: str) -> dict[str, Any]:
        return await detected(serving, await images(name), wanted, _prediction)

    found = []
    for start in range(0, len(names), together):
        some = names[start : start + together]
        works = [asyncio.ensure_future(one(name)) for name in some]
        try:
            found += await asyncio.gather(*works)
        finally:
            for work in works:  # one that is refused ends the others with it
                work.cancel()
    return found


def _prediction(
    engine: Engine, placed: Placed, found: Detections, wanted: Wanted
) -> dict[str, Any]:
    found_regions, scores = [], []
    for part in wanted_results(engine, placed, found, wanted):  # a mask at a time
        found_regions += regions(part)
        scores += part.scores.tolist()
    return {
        "result": found_regions,
        "score": sum(scores) / len(scores) if scores else 0.0,
        "model_version": engine.name,
    }
