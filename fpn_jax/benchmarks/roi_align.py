"""Features of proposals cut out of a pyramid, and the gradient of that."""

from collections.abc import Callable, Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.benchmarks.setting import finished, peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.ops.roi_align import pyramid_roi_align
from fpn_jax.parity.layouts import to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision

_LEVELS = (2, 3, 4, 5)
_SIZE = 7  # bins along a side, as for the box head
_RUNS = 20


def roi_align_forward(
    peer: bool, *, canvas: tuple[int, int], channels: int, num_boxes: int
) -> Contest:
    """7x7 bins of every box, two samples along a side, from P2 … P5 of one image."""
    pyramid, boxes, _ = _workload(canvas, channels, num_boxes)
    pool = jax.jit(partial(pyramid_roi_align, canvas=canvas, size=_SIZE))
    run = _run(pool, pyramid, boxes[None])
    contestants = {OURS: run}
    if not peer:
        return Contest(contestants, runs=_RUNS)

    torch, _ = import_torchvision(compiled=True)
    maps, their_pool = _torchvision_pool(pyramid, boxes, canvas)
    inference = torch.inference_mode()(lambda: their_pool(maps))
    contestants["torchvision"] = theirs = finished(inference)
    difference = _difference(run(), [theirs()])
    return Contest(contestants, runs=_RUNS, difference=difference)


def roi_align_backward(
    peer: bool, *, canvas: tuple[int, int], channels: int, num_boxes: int
) -> Contest:
    """From the gradient of the bins to the gradient of the pyramid."""
    pyramid, boxes, gradient = _workload(canvas, channels, num_boxes)
    pool = partial(pyramid_roi_align, canvas=canvas, size=_SIZE)

    def pull_back(pyramid, boxes, gradient):
        return jax.vjp(lambda pyramid: pool(pyramid, boxes), pyramid)[1](gradient)[0]

    run = _run(jax.jit(pull_back), pyramid, boxes[None], gradient[None])
    contestants = {OURS: run}
    if not peer:
        return Contest(contestants, runs=_RUNS)

    torch, _ = import_torchvision(compiled=True)
    maps, their_pool = _torchvision_pool(pyramid, boxes, canvas)
    outputs = their_pool([x.requires_grad_() for x in maps])
    gradients = to_torch(gradient).to(peer_device())
    contestants["torchvision"] = theirs = finished(
        partial(torch.autograd.grad, outputs, maps, gradients, retain_graph=True)
    )
    difference = _difference(run().values(), theirs())
    return Contest(contestants, runs=_RUNS, difference=difference)


def _workload(canvas: tuple[int, int], channels: int, num_boxes: int) -> tuple:
    """A pyramid of one image, boxes [n, 4] of sides about 16 … 512 px, a gradient."""
    rng = np.random.default_rng(0)
    height, width = canvas
    pyramid = {
        level: rng.normal(size=(1, height >> level, width >> level, channels))
        for level in _LEVELS
    }
    sides = 2 ** rng.uniform(4, 9, (num_boxes, 1))
    sides = sides * np.exp(rng.normal(0, 0.35, (num_boxes, 2)))  # narrow and wide
    centers = rng.uniform((0, 0), (width, height), (num_boxes, 2))
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
    boxes = boxes.clip(0, [width, height] * 2)
    gradient = rng.normal(size=(num_boxes, _SIZE, _SIZE, channels))
    return jax.tree.map(lambda x: x.astype(np.float32), (pyramid, boxes, gradient))


def _run(program: Callable, *arguments) -> Callable:
    arguments = jax.tree.map(jnp.asarray, arguments)
    return lambda: jax.block_until_ready(program(*arguments))


def _torchvision_pool(pyramid: dict, boxes: np.ndarray, canvas: tuple[int, int]):
    """Their maps of the pyramid, and their pooling of the boxes from such maps."""
    torch, torchvision = import_torchvision(compiled=True)
    names = [str(level) for level in pyramid]
    pool = torchvision.ops.MultiScaleRoIAlign(names, _SIZE, sampling_ratio=2)
    maps = [to_torch(x).to(peer_device()) for x in pyramid.values()]
    rois = [torch.tensor(boxes, device=peer_device())]
    return maps, lambda maps: pool(dict(zip(names, maps, strict=True)), rois, [canvas])


def _difference(ours: Iterable[jax.Array], theirs: Iterable) -> float:
    """The largest, of the largest value: no box may belong to some level."""
    theirs = [to_nhwc(x) for x in theirs]
    pairs = zip(ours, theirs, strict=True)
    largest = max(np.abs(x).max() for x in theirs)
    return float(max(np.abs(x - y).max() for x, y in pairs) / largest)
