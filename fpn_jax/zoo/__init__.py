"""Named detectors: functions that return a detector with all its numbers.

They take what users change (`num_classes`, `depth`, `backbone`), build and compute
nothing, and leave the weights to `fpn_jax.weights`. A name that is another library's
stands for its model to the last number, so that its weights fit.

- torchvision's detectors, and `TORCHVISION`, the same by name
- `CLASSIFIERS`: torchvision's classifiers as backbones, by name
- `DETECTRON2`: the detectors of Detectron2's zoo, by the names of its configurations
- `YOLOX`: the released detectors of YOLOX by name; `YOLOX_SIDES`: of their canvases
- `digits_…`: small ones for the embedded data set
- `rpn_resnet50_fpn`: the proposal network of the FPN paper
"""

from fpn_jax.zoo.classifiers import CLASSIFIERS
from fpn_jax.zoo.detectron2 import DETECTRON2
from fpn_jax.zoo.digits import (
    digits_faster_rcnn,
    digits_one_stage,
    digits_proposal_network,
)
from fpn_jax.zoo.paper import rpn_resnet50_fpn
from fpn_jax.zoo.torchvision import (
    TORCHVISION,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    fcos_resnet50_fpn,
    keypointrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
    retinanet_resnet50_fpn,
    retinanet_resnet50_fpn_v2,
)
from fpn_jax.zoo.yolox import (
    YOLOX,
    YOLOX_SIDES,
    yolox_l,
    yolox_m,
    yolox_nano,
    yolox_s,
    yolox_tiny,
    yolox_x,
)

__all__ = [
    "CLASSIFIERS",
    "DETECTRON2",
    "TORCHVISION",
    "YOLOX",
    "YOLOX_SIDES",
    "digits_faster_rcnn",
    "digits_one_stage",
    "digits_proposal_network",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "rpn_resnet50_fpn",
    "yolox_l",
    "yolox_m",
    "yolox_nano",
    "yolox_s",
    "yolox_tiny",
    "yolox_x",
]
