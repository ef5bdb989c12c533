"""From the detections of a batch's row to what a client is told."""

import dataclasses
import json
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from fpn_jax.evaluation.image_pixels import in_image_pixels
from fpn_jax.results.result import Result
from fpn_jax.serving.engine import Engine, Placed
from fpn_jax.types import Detections


class Wanted(NamedTuple):
    """The objects that a request asks for."""

    score_threshold: float = 0.0
    labels: frozenset[int] | None = None  # None: all


@dataclasses.dataclass(frozen=True)
class Mask:
    """A bitmap of the image in COCO's compressed run-length encoding."""

    size: tuple[int, int]  # height, width
    counts: str


@dataclasses.dataclass(frozen=True)
class Object:
    """An object in pixels of the upright image."""

    name: str  # of its class
    label: int  # 0 … K-1
    score: float
    box: tuple[float, float, float, float]  # x1, y1, x2, y2
    mask: Mask | None = None  # of a model that gives masks
    # x, y and logit of each, of a model that gives keypoints.
    keypoints: list[tuple[float, float, float]] | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """The objects in an image, by falling score; for the schema, see `as_json`."""

    model: str
    width: int
    height: int
    objects: list[Object]


def as_json(engine: Engine, placed: Placed, found: Detections, wanted: Wanted) -> bytes:
    """Returns the `Answer` as JSON; its objects are as `Result.to_json` writes them."""
    rows = [
        row
        for result in wanted_results(engine, placed, found, wanted)
        for row in result.rows()
    ]
    height, width = placed.image_size
    answer = {"model": engine.name, "width": width, "height": height, "objects": rows}
    return json.dumps(answer, ensure_ascii=False).encode()


def wanted_results(
    engine: Engine, placed: Placed, found: Detections, wanted: Wanted
) -> Iterator[Result]:
    """Yields the objects that are wanted, by falling score.

    Objects with masks come one by one: a mask has as many bytes as the image pixels.
    """
    kept = found.valid & (found.scores >= np.float32(wanted.score_threshold))
    if wanted.labels is not None:
        kept &= np.isin(found.labels, [*wanted.labels])
    if found.masks is None:
        parts = [np.flatnonzero(kept)]
    else:
        parts = np.flatnonzero(kept)[:, None]
    for part in parts:
        some = in_image_pixels(
            jax.tree.map(lambda x, part=part: x[part], found),
            size=placed.size,
            image_size=placed.image_size,
        )
        yield Result(some, placed.image_size, engine.categories, engine.skeleton)
