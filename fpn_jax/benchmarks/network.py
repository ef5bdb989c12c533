"""The forward pass of the proposal network: pixels to raw RPN outputs."""

import copy
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from fpn_jax.benchmarks.setting import EAGER_FLOAT32, Setting, finished, peer_device
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.compilation import call_once
from fpn_jax.heads.rpn import RPNOutputs
from fpn_jax.parity.layouts import numpy_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.torchvision_detectors import fold_norms
from fpn_jax.weights.state_dicts import StateDict
from fpn_jax.weights.torchvision import detector_from_torchvision
from fpn_jax.zoo.paper import rpn_resnet50_fpn


def forward_contest(
    peer: bool,
    *,
    height: int,
    width: int,
    flop: float,
    setting: Setting = EAGER_FLOAT32,
) -> Contest:
    """One image through ResNet-50-FPN-RPN: frozen norms, normalized pixels."""
    pixels = np.random.default_rng(0).normal(size=(1, height, width, 3))
    pixels = pixels.astype(np.float32)
    images = jnp.asarray(pixels)
    model = setting.ours(rpn_resnet50_fpn())

    def network(module, x):
        return module.head(module.neck(module.backbone(x)))

    forward = jax.jit(partial(model.apply, method=network))
    if not peer:
        initial = partial(model.init, method=network)
        variables = call_once(initial, jax.random.key(0), images)
        run = partial(_run, forward, variables, images)
        return Contest({OURS: run}, runs=7, flop=flop)

    peers, state_dict = _torchvision_contestants(pixels, setting)
    variables = jax.device_put(detector_from_torchvision(state_dict, model))
    run = partial(_run, forward, variables, images)
    ours = jax.tree.leaves(run())
    return Contest(
        {OURS: run, **peers},
        runs=7,
        flop=flop,
        difference=max(_difference(ours, theirs()) for theirs in peers.values()),
    )


def _run(forward: Callable, *arguments) -> RPNOutputs:
    return jax.block_until_ready(forward(*arguments))


def _difference(ours: list[jax.Array], outputs: tuple[list, list]) -> float:
    """The largest over all maps, of each map's own scale."""
    theirs = [to_nhwc(tensor) for maps in outputs for tensor in maps]
    return max(
        float(np.abs(x - y).max() / np.abs(y).max())
        for x, y in zip(ours, theirs, strict=True)
    )


def _torchvision_contestants(
    pixels: np.ndarray, setting: Setting
) -> tuple[dict[str, Callable[[], tuple[list, list]]], StateDict]:
    """torchvision's modules and their weights.

    They run as they are, with norms folded as ours are, and by torch.compile if that is
    asked for.
    """
    torch, torchvision = import_torchvision(compiled=True)
    detection = torchvision.models.detection
    build = partial(
        detection.backbone_utils.resnet_fpn_backbone,
        backbone_name="resnet50",
        weights=None,
        trainable_layers=5,
    )
    frozen = build(norm_layer=torchvision.ops.FrozenBatchNorm2d).eval()
    foldable = build(norm_layer=torch.nn.BatchNorm2d).eval()
    foldable.load_state_dict(frozen.state_dict(), strict=False)  # no batch counters
    head = detection.rpn.RPNHead(256, 3).eval()
    images = to_torch(pixels).to(peer_device())

    def contestant(backbone, memory_format, torch_compile=False):
        modules = copy.deepcopy([backbone, head])  # the format changes in place
        body, top = (
            module.to(peer_device(), memory_format=memory_format) for module in modules
        )
        if torch_compile:
            torch.compiler.reset()  # what it keeps of other rows would be eager here
            body, top = torch.compile(body), torch.compile(top)
        x = images.contiguous(memory_format=memory_format)

        @torch.inference_mode()
        def run():
            return top(list(body(x).values()))

        return finished(setting.theirs(run))

    contestants = {
        "torchvision": contestant(frozen, torch.contiguous_format),
        "torchvision channels_last": contestant(frozen, torch.channels_last),
        "torchvision folded": contestant(fold_norms(foldable), torch.channels_last),
    }
    if setting.torch_compile:
        contestants["torchvision torch.compile"] = contestant(
            frozen, torch.contiguous_format, torch_compile=True
        )
    modules = {"backbone": frozen, "rpn.head": head}
    state_dict = {
        f"{place}.{name}": array
        for place, module in modules.items()
        for name, array in numpy_state(module).items()
    }
    return contestants, state_dict
