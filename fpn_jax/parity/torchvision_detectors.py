"""torchvision's own detectors: built, given weights, frozen, and run."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from fpn_jax.detectors.fields import values_of
from fpn_jax.parity.layouts import image_tensor, tensor_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.weights.torchvision import first_label


def torchvision_detector(name: str, **options: Any) -> Any:
    """The model of torchvision's builder `name`, in evaluation mode.

    Its weights are random, drawn by torch. `options` go to the builder.
    """
    _, torchvision = import_torchvision()
    build = getattr(torchvision.models.detection, name)
    return build(weights=None, weights_backbone=None, **options).eval()


def detector_of_weights(
    name: str, state_dict: Mapping[str, np.ndarray], detector: nn.Module
) -> Any:
    """The model of torchvision's builder `name` that our `detector` corresponds to.

    It has the weights of a state dict. Its norms have the epsilon of our backbone, and
    in evaluation mode they are what frozen batch norm is.
    """
    torch, _ = import_torchvision()
    outputs = {"num_classes": detector.num_classes + first_label(detector)}
    for number in values_of(detector, "num_keypoints").values():
        outputs["num_keypoints"] = number
    model = torchvision_detector(name, **outputs)
    for module in model.backbone.body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = detector.backbone.norm_epsilon
    model.load_state_dict(tensor_state(state_dict))
    return model


def freeze_norms(model: Any, epsilon: float) -> None:
    """Replaces the norms of the backbone by torchvision's frozen batch norm."""
    _, torchvision = import_torchvision()
    body = model.backbone.body
    for place, norm in list(body.named_modules()):
        if "BatchNorm" in type(norm).__name__:
            frozen = torchvision.ops.FrozenBatchNorm2d(norm.num_features, epsilon)
            frozen.load_state_dict(norm.state_dict())
            owner, _, field = place.rpartition(".")
            setattr(body.get_submodule(owner), field, frozen)


def fold_norms(model: Any) -> Any:
    """A copy of torch's module in evaluation mode, norms folded into convolutions."""
    from torch.fx.experimental.optimization import fuse

    return fuse(model)


def detect(model: Any, images: Sequence[np.ndarray]) -> list[dict]:
    """Returns the detections of torchvision in each uint8 image [H, W, 3]."""
    torch, _ = import_torchvision()
    with torch.no_grad():
        return model([image_tensor(image) for image in images])
