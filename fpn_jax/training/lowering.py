"""The programs of a run, lowered for devices that may not be here: nothing is run."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fpn_jax.data.batch import blank, to_canvas
from fpn_jax.data.example import KeypointSpec
from fpn_jax.detectors.fields import values_of
from fpn_jax.training.augmentation import images_in_one
from fpn_jax.training.config import Config
from fpn_jax.training.data import batching_of, max_boxes_of
from fpn_jax.training.programs import (
    abstract_state,
    check_shared,
    jit_options,
    jitted_evaluation,
    step_of,
)
from fpn_jax.training.state import inference_variables
from fpn_jax.training.step import data_mesh, inputs_of, jitted, pmapped, shardings


def lower_step(config: Config, devices: Sequence[Any]) -> Any:
    """Returns the training step of a config, lowered for devices.

    Raises ValueError for a batch that they cannot share.
    """
    check_shared(config, "data", devices=len(devices))
    batch = inputs_of(_batch(config, config.data.batch_size, training=True))
    if config.train.parallelism == "pmap":
        parted = {
            name: jax.ShapeDtypeStruct(
                (len(devices), len(x) // len(devices), *x.shape[1:]), x.dtype
            )
            for name, x in batch.items()
        }
        return pmapped(step_of(config), devices).lower(_bare_state(config), parted)
    mesh = data_mesh(devices)
    program = jitted(step_of(config), mesh, **jit_options(config))
    return program.lower(abstract_state(config, mesh), _shapes(batch, mesh))


def lower_evaluation(config: Config, devices: Sequence[Any]) -> Any:
    """Returns the evaluation step of a config, lowered for devices.

    Raises ValueError for a batch that they cannot share.
    """
    check_shared(config, "evaluation", devices=len(devices))
    size = config.evaluation.batch_size
    batch = _batch(config, size, training=False)
    batch |= {
        "image_ids": np.zeros((size, 2), np.int32),  # the halves of an int64
        "example_valid": np.ones(size, np.bool_),
        "image_sizes": batch["sizes"],
    }
    mesh = data_mesh(devices)
    variables = inference_variables(abstract_state(config, mesh))
    return jitted_evaluation(config, mesh).lower(variables, _shapes(batch, mesh))


def num_programs(config: Config) -> int:
    """Returns how many programs a run compiles: a turned canvas needs more."""
    height, width = config.data.canvas
    turned = height != width
    return 1 + (turned and config.data.group_by_aspect) + 1 + turned


def _batch(config: Config, size: int, *, training: bool) -> dict[str, np.ndarray]:
    """Returns a batch of black images, of the shapes that the data would have."""
    data = config.data
    most = max_boxes_of(data, None) * (images_in_one(data) if training else 1)
    batching = batching_of(config, size, max_boxes=most)
    counts = [*values_of(config.model, "num_keypoints").values()]
    spec = None
    if batching.keypoints:
        points = range(counts[0] if counts else 17)
        spec = KeypointSpec(tuple(map(str, points)), tuple(points))
    row = to_canvas(
        blank(data.canvas, spec),
        data.canvas,
        most,
        mask_size=batching.mask_size,
        keypoints=batching.keypoints,
    )
    return {name: np.broadcast_to(x, (size, *x.shape)) for name, x in row.items()}


def _bare_state(config: Config) -> Any:
    state = abstract_state(config)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)


def _shapes(batch: dict[str, np.ndarray], mesh: jax.sharding.Mesh) -> dict[str, Any]:
    _, split = shardings(mesh)
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split)
        for name, x in batch.items()
    }
