"""The program of an artifact: plain arrays in, plain arrays out."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import export

Batch = int | Literal["dynamic"]
Program = Callable[[jax.Array, jax.Array], dict[str, jax.Array]]

# Fields of `Detections`; the last three come from heads that not every model has.
OUTPUTS = (
    *("boxes", "scores", "labels", "valid"),
    *("masks", "keypoints", "keypoint_scores"),
)


def detection_program(model: nn.Module, variables: Any) -> Program:
    """Returns the function from images and sizes to detections, with its weights."""
    variables = jax.device_get(variables)

    def detect(images: jax.Array, sizes: jax.Array) -> dict[str, jax.Array]:
        found = model.apply(variables, images, sizes, method="detect")
        outputs = {name: getattr(found, name) for name in OUTPUTS}
        return {name: x for name, x in outputs.items() if x is not None}

    return detect


def abstract_inputs(
    canvas: tuple[int, int], batch: Batch
) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Returns the shapes of images and sizes; "dynamic" is any number of images."""
    size = export.symbolic_shape("batch")[0] if batch == "dynamic" else batch
    return (
        jax.ShapeDtypeStruct((size, *canvas, 3), jnp.uint8),
        jax.ShapeDtypeStruct((size, 2), jnp.int32),
    )
