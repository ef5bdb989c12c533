"""The detectors of Detectron2's model zoo, with what tells them from torchvision's.

Their names are those of the zoo's configurations (COCO-Detection/faster_rcnn_R_50_FPN,
…), for whose weights `weights/detectron2.py` has the tables. Pixels are 0 … 255 less
the mean, the stride of a bottleneck is in its first convolution (the weights of He et
al.), anchors are not rounded and 2**level px apart, RoIAlign is aligned, box losses are
plain L1, and labels count 80 classes without gaps.

Four things differ. RoIAlign there takes as many samples of a bin as it has cells, here
2 x 2. RetinaNet's losses there are divided by a running mean of the positives. A
keypoint's score there is a probability, here the logit of its peak. And RetinaNet's
boxes that lie outside the image, empty once clipped, are dropped there.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from fpn_jax.backbones.resnet import ResNet
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

PIXEL_STD = (1 / 255, 1 / 255, 1 / 255)  # of pixels in 0 … 1
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


def faster_rcnn(depth: int = 50, num_classes: int = 80) -> TwoStage:
    """Returns the Faster R-CNN of faster_rcnn_R_50_FPN."""
    return TwoStage(
        backbone=_resnet(depth, levels=(2, 3, 4, 5)),
        neck=FPN(channels=256, extra="pool"),
        rpn=_rpn_head(post_nms=1000),
        box_head=BoxHead(
            num_classes,
            pool=RoIPool(aligned=True),
            smooth_l1_beta=0.0,
            min_side=NOT_EMPTY,
        ),
        image_std=PIXEL_STD,
    )


def mask_rcnn(depth: int = 50, num_classes: int = 80) -> TwoStage:
    """Returns the Mask R-CNN of mask_rcnn_R_50_FPN."""
    detector = faster_rcnn(depth, num_classes)
    return detector.clone(
        mask_head=MaskHead(num_classes, pool=RoIPool(size=14, aligned=True))
    )


def keypoint_rcnn(depth: int = 50, num_classes: int = 1) -> TwoStage:
    """Returns the Keypoint R-CNN of keypoint_rcnn_R_50_FPN."""
    detector = faster_rcnn(depth, num_classes)
    return detector.clone(
        rpn=detector.rpn.clone(training_post_nms=1500),
        box_head=detector.box_head.clone(smooth_l1_beta=0.5),
        keypoint_head=KeypointHead(
            num_keypoints=17, pool=RoIPool(size=14, aligned=True)
        ),
    )


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


DETECTRON2: dict[str, Callable[[], nn.Module]] = {
    f"{constructor.__name__}_R_{depth}_FPN": partial(constructor, depth)
    for constructor in (rpn, faster_rcnn, mask_rcnn, keypoint_rcnn, retinanet)
    for depth in (50, 101)
}
"""The configurations of the zoo by name; of the schedules, 1x and 3x, each."""


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
