"""torchvision's detectors with random weights that nevertheless find things.

As it comes, a random detector says the same of every place, and little of that passes a
threshold. Here the outputs of its last layers are centred and scaled on one image.
"""

from tests.torch_models import randomize_norms
from tests.torch_reference import torch, torchvision

# Last layer: the standard deviation and the mean of its outputs over all places, as
# they give some tens of detections, of many classes. Scores stay away from 0 and 1,
# where float32 makes them equal.
_OUTPUTS = {
    "rpn.head.cls_logits": (0.7, 0.0),
    "rpn.head.bbox_pred": (0.3, 0.0),
    "roi_heads.box_predictor.cls_score": (1.0, 0.0),
    "roi_heads.box_predictor.bbox_pred": (0.3, 0.0),
    "roi_heads.mask_predictor.mask_fcn_logits": (2.0, 0.0),
    "roi_heads.keypoint_predictor.kps_score_lowres": (1.0, 0.0),
    "head.classification_head.cls_logits": (1.0, -7.0),
    "head.regression_head.bbox_reg": (0.5, 0.5),
    "head.regression_head.bbox_ctrness": (1.0, 0.0),
}
_BACKGROUND = {91: 5.0, 2: 4.0}  # of an R-CNN's outputs: more in its logit


def lively_detector(name: str, image, **options):
    """Returns torchvision's detector `name` in evaluation mode.

    It is scaled on `image [H, W, 3]`, uint8; others are found as much in.
    """
    torch.manual_seed(0)
    build = getattr(torchvision.models.detection, name)
    model = build(weights=None, weights_backbone=None, **options)
    randomize_norms(model)
    if "mobilenet" in name:
        _amplify(model.backbone.body)
    layers = dict(model.named_modules())
    hooks = [
        layers[layer].register_forward_hook(_Scaled(*outputs))
        for layer, outputs in _OUTPUTS.items()
        if layer in layers
    ]
    detect(model, [image])
    for hook in hooks:
        hook.remove()
    if "roi_heads" in layers:
        bias = model.roi_heads.box_predictor.cls_score.bias
        bias.data[0] += _BACKGROUND[len(bias)]
    return model


def _amplify(body) -> None:
    """Has a MobileNet say different things of different places.

    What its blocks add has no activation behind it and fades: nearly equal features
    everywhere would give boxes whose scores tie.
    """
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data *= 2.2


def detect(model, images) -> list[dict]:
    """Returns what torchvision's detector says of each uint8 image [H, W, 3]."""
    tensors = [torch.from_numpy(x.transpose(2, 0, 1).copy()) / 255 for x in images]
    with torch.no_grad():
        return model(tensors)


class _Scaled:
    """A hook that changes weight and bias at the first call of a layer."""

    def __init__(self, std: float, mean: float):
        self.std, self.mean, self.called = std, mean, False

    def __call__(self, layer, inputs, output):
        if self.called:
            return output
        self.called = True
        outputs = output.movedim(1, -1).flatten(0, -2)
        centre = outputs.mean(dim=0)
        factor = self.std / (outputs - centre).std()
        layer.weight.data *= factor
        layer.bias.data = (layer.bias - centre) * factor + self.mean
        return layer.forward(*inputs)
