"""From a folder of photographs of many shapes to what is in each of them."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from fpn_jax.benchmarks.setting import peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.inference.predictor import Predictor
from fpn_jax.media.decoding import decoded
from fpn_jax.media.sources import find_sources
from fpn_jax.parity.layouts import image_tensor, numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import as_detections, match_detections
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.training.conversion import run_from_torchvision

_NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"  # decoding and resizing count here
_IMAGES, _SHAPES = 200, 40
_COMPARED = 5  # images


def folder_contest(peer: bool) -> Contest:
    """200 JPEGs of 40 shapes by Faster R-CNN of a MobileNetV3 at 320 pixels.

    Ours reads ahead in threads and runs batches on two canvases. torchvision's user
    decodes an image, and calls the model with it. `difference` is the share of
    detections of five images that ours, padded as torchvision does, lacks.
    """
    folder = Path(tempfile.mkdtemp(prefix="fpn_jax-folder-"))
    atexit.register(shutil.rmtree, folder)
    images = write_photographs(folder)
    import_torchvision(compiled=peer)
    theirs = lively_detector(_NAME, images[:3])
    run = run_from_torchvision(_NAME, numpy_state(theirs))
    model, canvas = run.config.model, run.config.data.canvas
    contestants = {OURS: _ours(folder, Predictor(model, run.variables, canvas))}
    if not peer:
        return Contest(contestants, runs=3)
    contestants["torchvision"] = _theirs(folder, theirs.to(peer_device()))
    exact = Predictor(model, run.variables, canvas, padding="exact", batch_size=1)
    found = [exact(image) for image in images[:_COMPARED]]
    wanted = [as_detections(x, model) for x in _detect(theirs, images[:_COMPARED])]
    same = sum(
        len(match_detections(ours.detections, other))
        for ours, other in zip(found, wanted, strict=True)
    )
    number = sum(len(other.scores) for other in wanted)
    return Contest(contestants, runs=3, difference=1 - same / number)


def write_photographs(folder: Path) -> list[np.ndarray]:
    """Writes parts of two photographs in all shapes as JPEGs, and returns them."""
    random, photographs = np.random.default_rng(0), load_sample_images().images
    sides = [(240 + 10 * n, 640 - 8 * n) for n in range(_SHAPES)]
    images = []
    for number in range(_IMAGES):
        height, width = sides[number % _SHAPES]
        top, left = random.integers(0, 200, 2)
        part = photographs[number % 2][top : top + 227, left : left + 440]
        images.append(cv2.resize(part, (width, height)))
        Image.fromarray(images[-1]).save(folder / f"{number:03}.jpg", quality=90)
    return images


def _ours(folder: Path, predictor: Predictor) -> Callable[[], int]:
    def run() -> int:
        (source,) = find_sources(str(folder))
        pictures = source.open().pictures
        ahead = 2 * predictor.batch_size
        images = (x for _, x in decoded(pictures, ahead=ahead, unreadable=print))
        return sum(len(result) for result in predictor.each(images))

    return run


def _theirs(folder: Path, model: Any) -> Callable[[], int]:
    def run() -> int:
        paths = sorted(folder.iterdir())
        images = (np.asarray(Image.open(path).convert("RGB")) for path in paths)
        return sum(len(found["scores"]) for found in _detect(model, images))

    return run


def _detect(model: Any, images: Any) -> list[dict]:
    torch, _ = import_torchvision()
    with torch.inference_mode():
        found = [model([image_tensor(x).to(peer_device())])[0] for x in images]
    return [{key: value.cpu() for key, value in x.items()} for x in found]
