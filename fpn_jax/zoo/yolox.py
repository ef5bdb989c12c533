"""YOLOX as its authors released it (Ge et al. 2021, table 3 and section 2.3).

Differences from what the paper says are those of the released code. Images are BGR, 0 …
255, and 114 outside of them; boxes are not clipped. `DataConfig(box_scale="common")` is
the released way to resize. `YOLOX_SIDES` are the sides of the square canvas.

`norm` "frozen" keeps statistics and affine parameters of all norms as they are.
"""

from collections.abc import Callable

from fpn_jax.backbones.csp_darknet import CSPDarknet
from fpn_jax.detectors.one_stage import OneStage
from fpn_jax.heads.yolox import YOLOXHead
from fpn_jax.layers import Norm
from fpn_jax.necks.yolox_pafpn import YOLOXPAFPN

_PIXEL_STD = (1 / 255, 1 / 255, 1 / 255)  # of pixels in 0 … 1


def yolox_nano(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 0.9 million parameters, of depthwise convolutions."""
    return _yolox(num_classes, norm, depth=0.33, width=0.25, depthwise=True)


def yolox_tiny(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 5.1 million parameters."""
    return _yolox(num_classes, norm, depth=0.33, width=0.375)


def yolox_s(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 9.0 million parameters."""
    return _yolox(num_classes, norm, depth=0.33, width=0.5)


def yolox_m(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 25.3 million parameters."""
    return _yolox(num_classes, norm, depth=0.67, width=0.75)


def yolox_l(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 54.2 million parameters."""
    return _yolox(num_classes, norm, depth=1.0, width=1.0)


def yolox_x(num_classes: int = 80, norm: Norm = "batch") -> OneStage:
    """Returns the detector of 99.1 million parameters."""
    return _yolox(num_classes, norm, depth=1.33, width=1.25)


YOLOX: dict[str, Callable[..., OneStage]] = {
    constructor.__name__: constructor
    for constructor in (yolox_nano, yolox_tiny, yolox_s, yolox_m, yolox_l, yolox_x)
}
"""The released detectors by name."""

YOLOX_SIDES = dict.fromkeys(YOLOX, 640) | {"yolox_nano": 416, "yolox_tiny": 416}
"""Pixels along a side of the canvas that each was trained for."""


def _yolox(
    num_classes: int,
    norm: Norm,
    *,
    depth: float,
    width: float,
    depthwise: bool = False,
) -> OneStage:
    return OneStage(
        backbone=CSPDarknet(depth, width, depthwise=depthwise, norm=norm),
        neck=YOLOXPAFPN(depth, depthwise=depthwise, norm=norm),
        head=YOLOXHead(
            num_classes,
            depthwise=depthwise,
            norm=norm,
            norm_momentum=0.97,
            clipped=False,
            max_detections=1000,  # COCO's figures take the best 100 of each class
        ),
        image_mean=(0.0, 0.0, 0.0),
        image_std=_PIXEL_STD,
        channel_order="bgr",
        padding_value=114.0,
    )
