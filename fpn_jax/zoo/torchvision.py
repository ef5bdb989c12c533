"""Named detectors, with every number that tells them apart.

Those with a name of torchvision are its builders as they are beside their COCO weights:
backbones have the epsilon of those weights, and of their stages as many are frozen as
torchvision freezes. Numbers that are not written here are the heads' defaults, which
are torchvision's.

`num_classes` counts the classes of objects. R-CNNs know a background besides: the 90
ids of COCO are 91 outputs there, and label l is the id l + 1. RetinaNet and FCOS know
none; torchvision's have 91 outputs whose label is the id, and 0 is never predicted.

`backbone` takes the place of the default one: a ResNet of another depth, a VGG, a
MobileNet, one that is not frozen. It gives the levels 2 … 5, 3 … 5 to a RetinaNet or
FCOS, and 5 and 6 where the default is a MobileNetV3.
"""

from collections.abc import Callable

import flax.linen as nn

from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
from fpn_jax.backbones.resnet import ResNet
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.fcos import FCOSHead
from fpn_jax.heads.keypoint import KeypointHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.retinanet import RetinaNetHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN


def fasterrcnn_resnet50_fpn(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Faster R-CNN on a pyramid (FPN, section 4.2)."""
    return TwoStage(
        backbone=backbone or ResNet(depth=50, norm_epsilon=0.0, frozen_stages=2),
        neck=FPN(channels=256),
        rpn=RPNHead(anchor_sizes=((32,), (64,), (128,), (256,), (512,))),
        box_head=BoxHead(num_classes=num_classes, hidden_features=1024),
    )


def fasterrcnn_resnet50_fpn_v2(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Faster R-CNN as Li et al. 2021 train it: deeper heads, batch norm."""
    return TwoStage(
        backbone=backbone or ResNet(depth=50, norm="batch", frozen_stages=2),
        neck=FPN(channels=256, norm="batch"),
        rpn=RPNHead(num_convs=2),
        box_head=BoxHead(num_classes, num_convs=4, num_hidden=1, norm="batch"),
    )


def fasterrcnn_mobilenet_v3_large_fpn(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Faster R-CNN on two maps of stride 32; RoIs are cut out of the first."""
    return TwoStage(
        backbone=backbone or MobileNetV3(size="large", levels=(5, 6), frozen_stages=3),
        neck=FPN(channels=256),
        rpn=RPNHead(anchor_sizes=((32, 64, 128, 256, 512),) * 3, score_threshold=0.05),
        box_head=BoxHead(num_classes, pool=RoIPool(levels=(5,))),
    )


def fasterrcnn_mobilenet_v3_large_320_fpn(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns the same with few proposals, for images of 320 px."""
    detector = fasterrcnn_mobilenet_v3_large_fpn(num_classes, backbone)
    return detector.clone(rpn=detector.rpn.clone(pre_nms=150, post_nms=150))


def maskrcnn_resnet50_fpn(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Mask R-CNN on a pyramid (He et al. 2017)."""
    detector = fasterrcnn_resnet50_fpn(num_classes, backbone)
    return detector.clone(mask_head=MaskHead(num_classes, num_convs=4))


def maskrcnn_resnet50_fpn_v2(
    num_classes: int = 90, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Mask R-CNN as Li et al. 2021 train it: deeper heads, batch norm."""
    detector = fasterrcnn_resnet50_fpn_v2(num_classes, backbone)
    return detector.clone(mask_head=MaskHead(num_classes, num_convs=4, norm="batch"))


def keypointrcnn_resnet50_fpn(
    num_classes: int = 1, num_keypoints: int = 17, backbone: nn.Module | None = None
) -> TwoStage:
    """Returns Mask R-CNN for keypoints (He et al. 2017, section 5)."""
    detector = fasterrcnn_resnet50_fpn(num_classes, backbone)
    return detector.clone(keypoint_head=KeypointHead(num_keypoints, num_convs=8))


def retinanet_resnet50_fpn(
    num_classes: int = 91, backbone: nn.Module | None = None
) -> OneStage:
    """Returns RetinaNet (Lin et al. 2017), but with P6 made of P5."""
    return OneStage(
        backbone=backbone
        or ResNet(depth=50, norm_epsilon=0.0, levels=(3, 4, 5), frozen_stages=2),
        neck=FPN(channels=256, extra="conv_p5"),
        head=RetinaNetHead(num_classes=num_classes, box_loss="l1"),
    )


def retinanet_resnet50_fpn_v2(
    num_classes: int = 91, backbone: nn.Module | None = None
) -> OneStage:
    """Returns RetinaNet with what Zhang et al. 2020 (ATSS) add: group norm, GIoU."""
    return OneStage(
        backbone=backbone
        or ResNet(depth=50, norm="batch", levels=(3, 4, 5), frozen_stages=2),
        neck=FPN(channels=256, extra="conv_c5"),
        head=RetinaNetHead(num_classes=num_classes, norm="group", box_loss="giou"),
    )


def fcos_resnet50_fpn(
    num_classes: int = 91, backbone: nn.Module | None = None
) -> OneStage:
    """Returns FCOS (Tian et al. 2019) with center sampling and P6 made of P5."""
    return OneStage(
        backbone=backbone or ResNet(depth=50, levels=(3, 4, 5), frozen_stages=2),
        neck=FPN(channels=256, extra="conv_p5"),
        head=FCOSHead(num_classes=num_classes),
    )


TORCHVISION: dict[str, Callable[..., nn.Module]] = {
    constructor.__name__: constructor
    for constructor in (
        fasterrcnn_resnet50_fpn,
        fasterrcnn_resnet50_fpn_v2,
        fasterrcnn_mobilenet_v3_large_fpn,
        fasterrcnn_mobilenet_v3_large_320_fpn,
        maskrcnn_resnet50_fpn,
        maskrcnn_resnet50_fpn_v2,
        keypointrcnn_resnet50_fpn,
        retinanet_resnet50_fpn,
        retinanet_resnet50_fpn_v2,
        fcos_resnet50_fpn,
    )
}
"""The builders of torchvision by name."""
