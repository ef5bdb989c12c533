"""torchvision's detectors with random weights that nevertheless find things.

As it comes, a random detector says the same of every place, and little of that passes a
threshold. Here the outputs of its last layers are centered and scaled on given images.
Benchmarks and tests hold ours against such detectors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.torchvision_detectors import detect, torchvision_detector

# Layer: the standard deviation and the mean of its outputs over all places. Those of
# the last layers give some tens of detections, of many classes, with scores away from 0
# and 1, where float32 makes them equal. Those of the box head see to it that boxes
# differ in more than rounding: as it comes, it says nearly the same of all of them.
_OUTPUTS = {
    "rpn.head.cls_logits": (0.7, 0.0),
    "rpn.head.bbox_pred": (0.15, 0.0),
    "roi_heads.box_head.fc6": (1.0, 0.0),
    "roi_heads.box_head.fc7": (1.0, 0.0),
    "roi_heads.box_head.5": (1.0, 0.0),  # v2 has it behind its convolutions
    "roi_heads.box_predictor.cls_score": (0.7, 0.0),
    "roi_heads.box_predictor.bbox_pred": (0.3, 0.0),
    "roi_heads.mask_predictor.mask_fcn_logits": (2.0, 0.0),
    "roi_heads.keypoint_predictor.kps_score_lowres": (1.0, 0.0),
    "head.classification_head.cls_logits": (0.5, -5.0),
    "head.regression_head.bbox_reg": (0.15, 0.5),
    "head.regression_head.bbox_ctrness": (1.0, 0.0),
}
# Added to an R-CNN's logit of the background, by the number of its outputs.
_BACKGROUND = {91: 3.0, 2: 4.0}
# Ranges of a norm's vectors: nothing is at its default, and nothing explodes.
_NORMS = {
    "weight": (0.4, 0.8),
    "bias": (-0.2, 0.2),
    "running_mean": (-0.2, 0.2),
    "running_var": (0.5, 1.5),
}


def lively_detector(name: str, images: Sequence[np.ndarray], **options: Any) -> Any:
    """Returns torchvision's detector `name` in evaluation mode, with random weights.

    It is scaled on `images`, each uint8 [H, W, 3]. `options` go to torchvision's
    builder.
    """
    torch, _ = import_torchvision()
    torch.manual_seed(0)
    model = randomize_norms(torchvision_detector(name, **options))
    layers = dict(model.named_modules())
    _calibrate(model, images)
    hooks = [
        layers[layer].register_forward_hook(Scaled(*outputs))
        for layer, outputs in _OUTPUTS.items()
        if layer in layers
    ]
    detect(model, images)
    for hook in hooks:
        hook.remove()
    if hasattr(model, "roi_heads"):
        bias = model.roi_heads.box_predictor.cls_score.bias.data
        bias[0] += _BACKGROUND[len(bias)]
    return model


def randomize_norms(model: Any, seed: int = 0) -> Any:
    """Returns the model in evaluation mode, its norms' vectors drawn at random."""
    torch, _ = import_torchvision()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if "BatchNorm" in type(module).__name__:
                for name, (low, high) in _NORMS.items():
                    getattr(module, name).uniform_(low, high, generator=random)
    return model.eval()


def _calibrate(model: Any, images: Sequence[np.ndarray]) -> None:
    """Gives the norms the statistics of the images, as training does.

    With others the features fade from layer to layer until they are nearly equal
    everywhere: boxes would tie, or be told apart by rounding.
    """
    torch, _ = import_torchvision()
    norms = [x for x in model.modules() if type(x) is torch.nn.BatchNorm2d]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the first batch counts in full
        norm.train()
    detect(model, images)
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()


class Scaled:
    """A hook that changes weight and bias at the first call of a layer.

    Its outputs get the standard deviation, over all places and channels, and the mean,
    one number or one for each channel.
    """

    def __init__(self, std: float, mean: Any):
        self.std, self.mean, self.called = std, mean, False

    def __call__(self, layer, inputs, output):
        if self.called:
            return output
        self.called = True
        outputs = output.movedim(1, -1).flatten(0, -2)
        center = outputs.mean(dim=0)
        factor = self.std / (outputs - center).std()
        layer.weight.data *= factor
        layer.bias.data = (layer.bias - center) * factor + self.mean
        return layer.forward(*inputs)
