"""The detectors of Detectron2's model zoo, with what tells them from torchvision's.

Their names are those of the zoo's configurations (COCO-Detection/faster_rcnn_R_50_FPN,
Misc/cascade_mask_rcnn_R_50_FPN, …), for whose weights `weights/detectron2.py` has the
tables. Anchors are not rounded and 2**level px apart, RoIAlign is aligned and takes as
many samples of a bin as it has cells, box losses are plain L1, and labels count 80
classes without gaps. With R-50 and R-101, weights of He et al., pixels are 0 … 255 less
the mean, and the stride of a bottleneck is in its first convolution; X-101-32x8d is as
torchvision's.

Four things differ. RetinaNet's losses there are divided by a running mean of the
positives. A keypoint's score there is a probability, here the logit of its peak. A mask
is put on the image there by sampling at the pixels' centers, here as torchvision does
it, which moves its border by a pixel at most. And Fast R-CNN reads its proposals from a
file there, here a proposal network gives them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import flax.linen as nn

from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.cascade import Cascade
from fpn_jax.detectors.fast_rcnn import FastRCNN
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.ops.boxes import Weights

IMAGE_STD = (0.229, 0.224, 0.225)  # of ImageNet
PIXEL_STD = (1 / 255, 1 / 255, 1 / 255)  # of pixels in 0 … 1
Detector = TypeVar("Detector", bound=nn.Module)
# The sides of proposals and detections have no least length but that of a box.
NOT_EMPTY = 1e-9


def rpn(depth: int = 50) -> ProposalNetwork:
    """Returns the proposal network of rpn_R_50_FPN."""
    return ProposalNetwork(
        backbone=_resnet(depth, levels=(2, 3, 4, 5)),
        neck=FPN(channels=256, extra="pool"),
        head=_rpn_head(post_nms=2000),
        image_std=PIXEL_STD,
    )


def fast_rcnn(depth: int = 50, num_classes: int = 80) -> FastRCNN:
    """Returns the Fast R-CNN of fast_rcnn_R_50_FPN on the proposals of rpn_R_50_FPN."""
    return FastRCNN(
        proposals=rpn(depth),
        backbone=_resnet(depth, levels=(2, 3, 4, 5)),
        neck=FPN(channels=256, extra="pool"),
        box_head=_box_head(num_classes),
        image_std=PIXEL_STD,
    )


def faster_rcnn(depth: int = 50, num_classes: int = 80) -> TwoStage:
    """Returns the Faster R-CNN of faster_rcnn_R_50_FPN."""
    return TwoStage(
        backbone=_resnet(depth, levels=(2, 3, 4, 5)),
        neck=FPN(channels=256, extra="pool"),
        rpn=_rpn_head(post_nms=1000),
        box_head=_box_head(num_classes),
        image_std=PIXEL_STD,
    )


def mask_rcnn(depth: int = 50, num_classes: int = 80) -> TwoStage:
    """Returns the Mask R-CNN of mask_rcnn_R_50_FPN."""
    detector = faster_rcnn(depth, num_classes)
    return detector.clone(mask_head=_mask_head(num_classes))


def keypoint_rcnn(depth: int = 50, num_classes: int = 1) -> TwoStage:
    """Returns the Keypoint R-CNN of keypoint_rcnn_R_50_FPN."""
    detector = faster_rcnn(depth, num_classes)
    return detector.clone(
        rpn=detector.rpn.clone(training_post_nms=1500),
        box_head=detector.box_head.clone(smooth_l1_beta=0.5),
        keypoint_head=KeypointHead(num_keypoints=17, pool=_pool(14)),
    )


def cascade_rcnn(depth: int = 50, num_classes: int = 80) -> Cascade:
    """Returns Cascade R-CNN, the one of cascade_mask_rcnn_R_50_FPN without masks."""
    first = _box_head(num_classes).clone(class_agnostic=True)
    detector = faster_rcnn(depth, num_classes)
    return Cascade(
        backbone=detector.backbone,
        neck=detector.neck,
        rpn=detector.rpn.clone(training_post_nms=2000),
        box_heads=(
            first,
            _later_stage(first, iou=0.6, weights=(20, 20, 10, 10)),
            _later_stage(first, iou=0.7, weights=(30, 30, 15, 15)),
        ),
        image_std=PIXEL_STD,
    )


def cascade_mask_rcnn(depth: int = 50, num_classes: int = 80) -> Cascade:
    """Returns the Cascade Mask R-CNN of cascade_mask_rcnn_R_50_FPN."""
    detector = cascade_rcnn(depth, num_classes)
    return detector.clone(mask_head=_mask_head(num_classes))


def retinanet(depth: int = 50, num_classes: int = 80) -> OneStage:
    """Returns the RetinaNet of retinanet_R_50_FPN."""
    return OneStage(
        backbone=_resnet(depth, levels=(3, 4, 5)),
        neck=FPN(channels=256, extra="conv_c5"),
        head=RetinaNetHead(
            num_classes,
            anchor_sizes=tuple(
                tuple(side * 2 ** (k / 3) for k in range(3))
                for side in (32, 64, 128, 256, 512)
            ),
            stride_rule="level",
            rounded_anchors=False,
            clipped=False,
            max_detections=100,
        ),
        image_std=PIXEL_STD,
    )


def x_101_32x8d(detector: Detector) -> Detector:
    """Returns an R-CNN on ResNeXt-101 (32 groups of 8) in the place of its ResNet."""
    body = detector.backbone.clone(
        depth=101, groups=32, width_per_group=8, stride_in_1x1=False
    )
    changes: Any = {"backbone": body, "image_std": IMAGE_STD}
    return detector.clone(**changes)


def _on_resnext(constructor: Callable[[], nn.Module]) -> nn.Module:
    return x_101_32x8d(constructor())


_R_CNNS = (faster_rcnn, mask_rcnn, keypoint_rcnn, cascade_rcnn, cascade_mask_rcnn)

DETECTRON2: dict[str, Callable[[], nn.Module]] = {
    **{
        f"{constructor.__name__}_R_{depth}_FPN": partial(constructor, depth)
        for constructor in (rpn, fast_rcnn, *_R_CNNS, retinanet)
        for depth in (50, 101)
    },
    **{
        f"{constructor.__name__}_X_101_32x8d_FPN": partial(_on_resnext, constructor)
        for constructor in _R_CNNS
    },
}
"""The configurations of the zoo by name; of the schedules, 1x and 3x, each.

Detectron2 has published weights for cascade_mask_rcnn_R_50_FPN alone of the cascades.
"""


def _resnet(depth: int, levels: tuple[int, ...]) -> ResNet:
    return ResNet(depth=depth, stride_in_1x1=True, levels=levels, frozen_stages=2)


def _rpn_head(post_nms: int) -> RPNHead:
    return RPNHead(
        stride_rule="level",
        rounded_anchors=False,
        smooth_l1_beta=0.0,
        post_nms=post_nms,
        training_post_nms=1000,
        min_side=NOT_EMPTY,
    )


def _box_head(num_classes: int) -> BoxHead:
    return BoxHead(num_classes, pool=_pool(7), smooth_l1_beta=0.0, min_side=NOT_EMPTY)


def _later_stage(first: BoxHead, *, iou: float, weights: Weights) -> BoxHead:
    return first.clone(positive_iou=iou, negative_iou=iou, box_weights=weights)


def _mask_head(num_classes: int) -> MaskHead:
    return MaskHead(num_classes, pool=_pool(14))


def _pool(size: int) -> RoIPool:
    return RoIPool(size=size, sampling_ratio=0, aligned=True)
