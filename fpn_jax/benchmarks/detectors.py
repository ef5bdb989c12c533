"""Whole detectors beside torchvision's: pixels to final boxes, and training steps.

Both sides have the same random weights. The peer runs contiguous and channels last, and
by torch.compile if that is asked for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from fpn_jax.benchmarks.inputs import photograph, training_batch
from fpn_jax.benchmarks.peer_detectors import (
    peer_detector,
    peer_forms,
    peer_inference,
    peer_training,
)
from fpn_jax.benchmarks.setting import EAGER_FLOAT32, Setting
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.compilation import call_once
from fpn_jax.inference.predictor import Predictor
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.prove import as_detections, match_detections
from fpn_jax.training.state import TrainState
from fpn_jax.training.step import AXIS, jit_step, train_step
from fpn_jax.types import Detections
from fpn_jax.weights.torchvision import detector_from_torchvision
from fpn_jax.zoo.torchvision import TORCHVISION

# 2 x multiply-accumulate of one image at 800 x 1344, 91 outputs, 1000 RoIs, and 100
# detections with masks or keypoints: the sum over the layers.
GFLOP = {
    "fasterrcnn_resnet50_fpn": 432,
    "maskrcnn_resnet50_fpn": 538,
    "keypointrcnn_resnet50_fpn": 1131,
    "retinanet_resnet50_fpn": 509,
    "fcos_resnet50_fpn": 431,
}


def inference_contest(
    peer: bool,
    *,
    name: str,
    canvas: tuple[int, int],
    flop: float | None = None,
    setting: Setting = EAGER_FLOAT32,
) -> Contest:
    """One uint8 image of this size to its final detections, batch 1.

    The difference is the share of torchvision's that have no counterpart within the
    tolerances of float32. It is not computed in other precisions.
    """
    image = photograph(canvas)
    if not peer:
        ours = our_inference(name, image, setting=setting)
        return Contest({OURS: ours}, runs=9, flop=flop)
    model = peer_detector(name, canvas)
    theirs = {
        label: peer_inference(module, image, setting)
        for label, module in peer_forms(model, setting).items()
    }
    ours = our_inference(name, image, model, setting)
    found = {label: run() for label, run in theirs.items()}
    difference = None
    if setting.precision == "float32":
        wanted = as_detections(found["torchvision"], TORCHVISION[name]())
        difference = 1 - len(match_detections(ours(), wanted)) / len(wanted.scores)
    return Contest({OURS: ours, **theirs}, runs=9, flop=flop, difference=difference)


def training_contest(
    peer: bool,
    *,
    name: str,
    canvas: tuple[int, int],
    batch_size: int = 2,
    setting: Setting = EAGER_FLOAT32,
) -> Contest:
    """One SGD step on images of this size, stem and first stage frozen.

    The difference is that of the first loss: of Faster R-CNN's, each side draws other
    samples.
    """
    batch = training_batch(canvas, batch_size)
    if not peer:
        return Contest({OURS: our_training(name, batch, setting=setting)}, runs=9)
    model = peer_detector(name, canvas)
    ours = our_training(name, batch, model, setting)
    theirs = {
        label: peer_training(module, name, batch, setting)
        for label, module in peer_forms(model, setting).items()
    }
    loss, losses = ours(), {label: run() for label, run in theirs.items()}
    difference = abs(loss / losses["torchvision"] - 1)
    return Contest({OURS: ours, **theirs}, runs=9, difference=difference)


def our_inference(
    name: str, image: np.ndarray, model: Any = None, setting: Setting = EAGER_FLOAT32
) -> Callable[[], Detections]:
    """Returns the detections of a uint8 image, when called.

    The weights come from torchvision's model, by default random.
    """
    detector = setting.ours(TORCHVISION[name]())
    variables = _variables(detector, model)
    predictor = Predictor(detector, variables, image.shape[:2], padding="exact")
    return lambda: predictor(image).detections


def our_training(
    name: str, batch: dict, model: Any = None, setting: Setting = EAGER_FLOAT32
) -> Callable[[], float]:
    """Makes a step of SGD on the batch, when called, and returns its loss."""
    detector = setting.ours(TORCHVISION[name]())
    variables = _variables(detector, model)
    optimizer = optax.sgd(1e-4, momentum=0.9)
    state = TrainState(
        step=jnp.int32(0),
        params=variables["params"],
        collections={"batch_stats": variables["batch_stats"]},
        opt_state=optimizer.init(variables["params"]),
        key=jax.random.key(0),
        ema=None,
    )
    one_device = Mesh(jax.devices()[:1], (AXIS,))
    step = jit_step(
        partial(train_step, model=detector, optimizer=optimizer), one_device
    )
    batch = jax.device_put(batch, jax.devices()[0])  # as the peer's
    states = [state]

    def run() -> float:
        state, losses = step(states.pop(), batch)
        states.append(state)
        return float(losses["loss"])

    return run


def _variables(detector: Any, model: Any) -> dict:
    if model is not None:
        return jax.tree.map(
            jnp.array, detector_from_torchvision(numpy_state(model), detector)
        )
    images, sizes = jnp.zeros((1, 320, 320, 3)), jnp.full((1, 2), 320)
    initial = call_once(detector.init, jax.random.key(0), images, sizes)
    return {"batch_stats": {}} | initial
