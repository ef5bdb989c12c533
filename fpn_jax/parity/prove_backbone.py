"""A converted backbone held against torchvision's classifier on the same images."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from fpn_jax.parity.layouts import tensor_state, to_nhwc, to_torch
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.prove import largest_difference


def torchvision_classifier(name: str, state_dict: Mapping[str, np.ndarray]) -> Any:
    """Returns the model of torchvision's builder `name` with these weights.

    The class layer is left off, because fine-tuned models differ in it. The model is in
    evaluation mode, where batch norm equals frozen batch norm.
    """
    torch, torchvision = import_torchvision()
    with torch.device("meta"):  # no random values for what is replaced
        model = getattr(torchvision.models, name)(weights=None)
    head = "fc" if hasattr(model, "fc") else "classifier"
    setattr(model, head, torch.nn.Identity())
    kept = {n: x for n, x in state_dict.items() if not n.startswith(f"{head}.")}
    model.load_state_dict(tensor_state(kept), assign=True)
    return model.eval()


def backbone_differences(
    classifier: Any,
    extractor: nn.Module,
    variables: Mapping[str, Any],
    images: Sequence[np.ndarray],
) -> dict[str, float]:
    """Returns how far each level is from torchvision's, as a share of its maximum.

    Args:
        classifier: torchvision's.
        extractor: a `FeatureExtractor`.
        variables: converted from the weights of `classifier`.
        images: uint8 [H, W, 3], RGB, of any size: both sides get multiples of 32.
    """
    torch, _ = import_torchvision()
    seen = {}
    for level, module in _stages(classifier).items():
        module.register_forward_hook(
            lambda _module, _inputs, output, level=level: seen.update({level: output})
        )
    forward = jax.jit(extractor.apply)
    differences = {}
    for image in images:
        pixels = (image / 255 - extractor.image_mean) / extractor.image_std
        pixels = to_torch(_padded(pixels.astype(np.float32)))
        with torch.inference_mode():
            classifier(pixels)
        sizes = np.array([image.shape[:2]], np.int32)
        for level, ours in forward(variables, _padded(image), sizes).items():
            difference = largest_difference(ours, to_nhwc(seen[level]))
            worst = max(difference, differences.get(f"C{level}", 0.0))
            differences[f"C{level}"] = worst
    return differences


def _padded(image: np.ndarray) -> np.ndarray:
    """Returns a batch of one image, with zeros to multiples of 32."""
    height, width, _ = image.shape
    return np.pad(image, ((0, -height % 32), (0, -width % 32), (0, 0)))[None]


def _stages(classifier: Any) -> dict[int, Any]:
    """Returns level -> the module of a torchvision classifier that gives it."""
    torch, torchvision = import_torchvision()
    if isinstance(classifier, torchvision.models.ResNet):
        return {
            level: getattr(classifier, f"layer{level - 1}") for level in range(2, 6)
        }
    modules = list(classifier.features)
    if isinstance(classifier, torchvision.models.VGG):
        pools = [i for i, m in enumerate(modules) if isinstance(m, torch.nn.MaxPool2d)]
        indices = [*(pool - 1 for pool in pools[2:]), pools[-1]]
    else:  # a MobileNet marks the blocks that reduce; the last convolution is C6
        reducing = [i for i, m in enumerate(modules) if getattr(m, "_is_cn", False)]
        indices = [*reducing, len(modules) - 1]
    return {level: modules[i] for level, i in enumerate(indices, start=2)}
