"""Detectron2's R-CNNs as `mayaku` has them in plain torch, with random weights.

There is no wheel of Detectron2. `mayaku` (1.1) rebuilds its Faster, Mask and Keypoint
R-CNN with their numbers and their tensors, RoIAlign's adaptive sampling included; later
versions sample 2 x 2 points. Its pixels are RGB and its modules have other names:
`detectron2_state` gives the tensors of a model as Detectron2 would save them.
"""

import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from fpn_jax.choices import check_choice
from fpn_jax.parity.layouts import numpy_state
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import Scaled, randomize_norms
from fpn_jax.types import Detections

# Theirs -> Detectron2's, the first that fits; {i} counts from 0 there.
_NAMES = (
    (r"backbone\.bottom_up\.stem\.0\.", "backbone.bottom_up.stem.conv1."),
    (r"backbone\.bottom_up\.stem\.1\.", "backbone.bottom_up.stem.conv1.norm."),
    (r"(.*\.res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm."),
    (r"(.*\.res\d\.\d+)\.downsample\.0\.", r"\1.shortcut."),
    (r"(.*\.res\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
    (r"rpn\.head\.", "proposal_generator.rpn_head."),
    (r"roi_heads\.keypoint_head\.deconv\.", "roi_heads.keypoint_head.score_lowres."),
)
# Numbered parts: theirs, Detectron2's, and the number of the first one there.
_COUNTED = (
    (r"backbone\.lateral_convs\.(\d+)", "backbone.fpn_lateral", 2),
    (r"backbone\.output_convs\.(\d+)", "backbone.fpn_output", 2),
    (r"roi_heads\.box_head\.fcs\.(\d+)", "roi_heads.box_head.fc", 1),
    (r"roi_heads\.mask_head\.convs\.(\d+)", "roi_heads.mask_head.mask_fcn", 1),
    (r"roi_heads\.keypoint_head\.convs\.(\d+)", "roi_heads.keypoint_head.conv_fcn", 1),
)
_STEM = "backbone.bottom_up.stem.conv1.weight"
# Layer: the standard deviation and the mean of its outputs; see `random_detectors`.
_OUTPUTS = {
    "rpn.head.objectness_logits": (0.7, 0.0),
    "rpn.head.anchor_deltas": (0.15, 0.0),
    "roi_heads.box_head.fcs.0": (1.0, 0.0),
    "roi_heads.box_head.fcs.1": (1.0, 0.0),
    "roi_heads.box_predictor.cls_score": (0.7, 0.0),
    "roi_heads.box_predictor.bbox_pred": (0.3, 0.0),
    "roi_heads.mask_head.predictor": (2.0, 0.0),
    "roi_heads.keypoint_head.deconv": (1.0, 0.0),
}
# Added to the logit of the background, by the number of classes.
_BACKGROUND = {80: 4.0, 1: 4.0}
# Scale of the norm that ends a block. With more, rounding grows from block to block
# until it tells the proposals of a hundred layers apart.
_RESIDUAL = 0.3
_BODIES = {
    "R_50": "resnet50",
    "R_101": "resnet101",
    "X_101_32x8d": "resnext101_32x8d",
}
_KINDS = ("faster_rcnn", "mask_rcnn", "keypoint_rcnn")
LIVE = tuple(f"{kind}_{body}_FPN" for kind in _KINDS for body in _BODIES)
"""The configurations of Detectron2's zoo that the live reference has."""


def lively_detectron2(
    name: str, images: Sequence[np.ndarray], *, post_nms: int = 1000
) -> Any:
    """Returns the model of a configuration of Detectron2's zoo, with random weights.

    It is in evaluation mode and scaled on `images`, each uint8 RGB [H, W, 3], so that
    it finds things in them. `post_nms` is the number of its proposals. Raises
    ValueError where `mayaku` is not installed.
    """
    torch, _ = import_torchvision()
    check_choice("name", name, LIVE)
    torch.manual_seed(0)
    model = randomize_norms(_built(name))
    model.rpn.post_nms_topk_test = post_nms
    _calibrate(model, images[0])
    layers = dict(model.named_modules())
    hooks = [
        layers[layer].register_forward_hook(Scaled(*outputs))
        for layer, outputs in _OUTPUTS.items()
        if layer in layers
    ]
    run_detectron2(model, images)
    for hook in hooks:
        hook.remove()
    bias = model.roi_heads.box_predictor.cls_score.bias.data
    bias[-1] += _BACKGROUND[len(bias) - 1]
    return model


def run_detectron2(model: Any, images: Sequence[np.ndarray]) -> list[Detections]:
    """Returns the detections of each image, which is not resized.

    Masks are probabilities in the box, as ours before they are put on the image.
    """
    torch, _ = import_torchvision()
    pixels = [
        torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1) for x in images
    ]
    with torch.no_grad():
        found = [model([{"image": x}])[0]["instances"] for x in pixels]
    return [_detections(instances.get_fields()) for instances in found]


def detectron2_state(model: Any) -> dict[str, np.ndarray]:
    """Returns the model's tensors as Detectron2 names and saves them: for BGR."""
    state = {_their_name(name): array for name, array in numpy_state(model).items()}
    state[_STEM] = np.ascontiguousarray(state[_STEM][:, ::-1])
    return state


def _built(name: str) -> Any:
    """Returns mayaku's model with the numbers of Detectron2's configuration."""
    try:
        schemas = import_module("mayaku.config.schemas")
        detectors = import_module("mayaku.models.detectors")
    except ImportError as error:
        raise ValueError(f"mayaku 1.1 is needed: {error}") from error
    kind, body = next(
        (kind, body)
        for kind in _KINDS
        for body in _BODIES
        if name == f"{kind}_{body}_FPN"
    )
    published = body != "X_101_32x8d"  # weights of He et al.
    fields: dict[str, Any] = {
        "meta_architecture": kind,
        "backbone": {"name": _BODIES[body], "stride_in_1x1": published},
    }
    if published:
        fields["pixel_std"] = (1.0, 1.0, 1.0)
    if kind == "mask_rcnn":
        fields |= {"mask_on": True, "roi_mask_head": {}}
    if kind == "keypoint_rcnn":
        fields |= {"keypoint_on": True, "roi_keypoint_head": {}}
        fields["roi_heads"] = {"num_classes": 1}
    config = schemas.MayakuConfig.model_validate({"model": fields})
    return getattr(detectors, f"build_{kind}")(config)


def _calibrate(model: Any, image: np.ndarray) -> None:
    """Gives the frozen norms the statistics of an image, layer after layer.

    With others the features fade until rounding tells boxes apart; see
    `random_detectors`.
    """

    def count(norm, inputs):
        (x,) = inputs
        norm.running_mean.copy_(x.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(x.var(dim=(0, 2, 3)) + 1e-3)

    norms = {n: m for n, m in model.named_modules() if "BatchNorm" in type(m).__name__}
    for name, norm in norms.items():
        if name.endswith(".bn3"):  # a block changes its input little, as after training
            norm.weight *= _RESIDUAL
    hooks = [norm.register_forward_pre_hook(count) for norm in norms.values()]
    run_detectron2(model, [image])
    for hook in hooks:
        hook.remove()


def _their_name(name: str) -> str:
    for pattern, begin in _NAMES:
        if re.match(pattern, name):
            return re.sub(pattern, begin, name)
    for pattern, begin, first in _COUNTED:
        if match := re.match(pattern, name):
            return f"{begin}{int(match[1]) + first}{name[match.end() :]}"
    return name


def _detections(fields: Mapping[str, Any]) -> Detections:
    boxes = fields["pred_boxes"].tensor.numpy()
    # What Detectron2's own last step drops, which resizes to the image.
    rows = (boxes[:, 2:] > boxes[:, :2]).all(axis=-1)
    masks = keypoints = None
    if "pred_masks" in fields:
        masks = fields["pred_masks"][:, 0].numpy()[rows]
    if "pred_keypoints" in fields:
        keypoints = fields["pred_keypoints"][..., :2].numpy()[rows]
    return Detections(
        boxes=boxes[rows],
        scores=fields["scores"].numpy()[rows],
        labels=fields["pred_classes"].numpy()[rows],
        valid=np.ones(rows.sum(), bool),
        masks=masks,
        keypoints=keypoints,
    )
