"""A trained run as a function from images to detections."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from fpn_jax.choices import check_choice
from fpn_jax.data.transforms import fit_scale, resize
from fpn_jax.training.checkpoint import Checkpoints
from fpn_jax.training.config import Config, load_config
from fpn_jax.training.programs import abstract_state
from fpn_jax.training.state import inference_variables
from fpn_jax.types import Detections


class Run(NamedTuple):
    """What a run directory holds for use."""

    config: Config
    variables: dict  # for `config.model.apply`
    step: int


def load_run(run: str | Path, checkpoint: str = "best") -> Run:
    """Returns the model of a run directory with its weights.

    Args:
        run: directory written by training.
        checkpoint: "best" by the metric of the run, "latest", or the number of a step.
    """
    config = load_config(run)
    if not (Path(run) / "checkpoints").is_dir():  # reading makes no directory
        raise ValueError(f"run: no checkpoints in {str(run)!r}")
    checkpoints = Checkpoints(run, best=config.evaluation.best)
    if checkpoints.latest_step is None:
        raise ValueError(f"run: no complete checkpoint in {str(run)!r}")
    names = {"best": checkpoints.best_step, "latest": checkpoints.latest_step}
    names |= {str(step): step for step in checkpoints.steps}
    check_choice("checkpoint", checkpoint, names)
    step = names[checkpoint]
    state, _ = checkpoints.restore(abstract_state(config), step)
    checkpoints.close()
    return Run(config, inference_variables(state), step)


class Predictor:
    """Detections of one image of any size, in its own pixels.

    The image is scaled to fit the canvas the detector was trained on (upright or
    turned), and padded to a multiple of 32. Each padded shape is compiled once.
    """

    def __init__(self, run: Run):
        self._canvas = run.config.data.canvas
        self._variables = run.variables
        self._detect = jax.jit(partial(_detect, run.config.model))

    def __call__(self, image: np.ndarray) -> Detections:
        """Returns detections without batch axis or padding, as NumPy arrays.

        `image [H, W, 3]` is uint8 RGB.
        """
        scale = max(
            fit_scale(image.shape, self._canvas),
            fit_scale(image.shape, self._canvas[::-1]),
        )
        resized = resize(image, scale)
        height, width = resized.shape[:2]
        canvas = np.zeros((1, -(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
        canvas[0, :height, :width] = resized
        found = jax.device_get(
            self._detect(self._variables, canvas, np.int32([[height, width]]))
        )
        rows = found.valid[0]
        ratio = np.float32([image.shape[1] / width, image.shape[0] / height] * 2)
        return Detections(
            boxes=found.boxes[0][rows] * ratio,
            scores=found.scores[0][rows],
            labels=found.labels[0][rows],
            valid=rows[rows],
        )


def _detect(model: nn.Module, variables: dict, images, sizes) -> Detections:
    return model.apply(variables, images, sizes, method="detect")
