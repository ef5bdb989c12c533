"""A detector as a server runs it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from fpn_jax.data.batch import padded_sides
from fpn_jax.data.example import Category
from fpn_jax.data.transforms import (
    fit_scale_either_way,
    fits_turned,
    fitted_size,
    resize,
)
from fpn_jax.inference.predictor import Predictor, program_of
from fpn_jax.types import Detections

Canvas = tuple[int, int]  # height, width


class Placed(NamedTuple):
    """An image on its canvas."""

    canvas: Canvas
    pixels: np.ndarray  # uint8 [h, w, 3], lies at the upper left of the canvas
    size: tuple[float, float]  # height and width there that boxes go back from
    image_size: tuple[int, int]  # height and width of the image


@dataclass(frozen=True)
class Engine:
    """Programs for batches of one size, and the way of an image onto their canvases."""

    name: str  # that clients know the detector by
    canvases: tuple[Canvas, ...]
    batch_size: int
    place: Callable[[np.ndarray], Placed]  # of an image uint8 [H, W, 3], RGB
    # From images uint8 [B, H, W, 3] and sizes int32 [B, 2] to arrays of NumPy.
    run: Callable[[np.ndarray, np.ndarray], Detections]
    categories: tuple[Category, ...] = ()
    skeleton: Sequence[tuple[int, int]] = ()


def usual_batch_size() -> int:
    """Returns the images of a batch where nobody has said how many.

    A CPU takes as long for eight images at once as for eight one by one, and a request
    that is alone would wait for all of them.
    """
    return 1 if jax.local_devices()[0].platform == "cpu" else 8


def predictor_engine(predictor: Predictor, name: str) -> Engine:
    """Returns the detector with its batch size, on its canvas upright and turned.

    Every image goes through the program of a whole batch, so that there are as many
    programs as canvases: two, or one where the canvas is square.
    """
    canvas = predictor.canvas
    both = padded_sides(canvas), padded_sides(canvas[::-1])
    program = program_of(predictor.model, predictor.variables)

    def place(image: np.ndarray) -> Placed:
        size = image.shape[:2]
        return Placed(
            both[bool(fits_turned(size, canvas))],
            resize(image, fit_scale_either_way(size, canvas)),
            fitted_size(size, canvas, predictor.box_scale),
            size,
        )

    def run(images: np.ndarray, sizes: np.ndarray) -> Detections:
        return jax.device_get(program(predictor.variables, images, sizes))

    return Engine(
        name,
        tuple(dict.fromkeys(both)),
        predictor.batch_size,
        place,
        run,
        predictor.categories,
        predictor.skeleton,
    )


def warm_up(engine: Engine) -> None:
    """Compiles the program of every canvas, and runs it once."""
    for canvas in engine.canvases:
        images = np.zeros((engine.batch_size, *canvas, 3), np.uint8)
        engine.run(images, np.zeros((engine.batch_size, 2), np.int32))
