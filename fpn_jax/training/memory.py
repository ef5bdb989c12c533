"""Whether a training step can fit at all, before anything is read or created."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpn_jax.compilation import check_fits, device_bytes
from fpn_jax.detectors.features import pyramid
from fpn_jax.detectors.fields import parts
from fpn_jax.training.config import Config
from fpn_jax.training.state import abstract_variables

# The backward pass keeps about a hundred times the bytes of its images; where these are
# less than a share of the memory that is far from it, nothing is traced.
_SMALL = 1 / 400
# XLA computes some of what the backward pass needs again in place of keeping it.
_KEPT = 0.5


def check_memory(config: Config) -> None:
    """Raises MemoryError where a step surely needs more than a device has.

    What the backward pass keeps of backbone and neck is counted from shapes, and half
    of it is held against the memory. A step that passes may still need too much, which
    is told when it is compiled.
    """
    canvas = config.data.canvas
    images = max(config.data.batch_size // jax.device_count(), 1)
    pixels = images * math.prod(canvas) * 3 * 4
    if pixels < _SMALL * device_bytes():
        return
    check_fits(pixels)
    if {"backbone", "neck"} <= parts(config.model).keys():
        check_fits(images * _KEPT * _kept_bytes(config.model, canvas))


def _kept_bytes(model: nn.Module, canvas: tuple[int, int]) -> int:
    """Returns the bytes of one image's features that a backward pass keeps."""
    images = jax.ShapeDtypeStruct((1, *canvas, 3), jnp.uint8)
    sizes = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    levels = partial(model.apply, method=partial(pyramid, train=False))

    def kept(variables: dict, images: jax.Array, sizes: jax.Array):
        def outputs(params: dict):
            return levels({**variables, "params": params}, images, sizes)

        return jax.vjp(outputs, variables["params"])[1]

    variables = abstract_variables(model, canvas)
    residuals = jax.eval_shape(kept, variables, images, sizes)
    return _bytes(residuals) - _bytes(variables["params"])


def _bytes(tree) -> int:
    return sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )
