"""Feature pyramid networks for object detection in JAX (Lin et al. 2017).

Each room states its contract: `help("fpn_jax.detectors")` says what backbones, necks,
heads and detectors owe each other. The names that most programs need are here as well,
imported when they are asked for:

- `load`: a run, a converted checkpoint or a published model by its name, as a function
  from images to detections
- backbones, necks, heads and the detectors made of them, all Linen modules
- torchvision's detectors by their names, without weights
- `Config`, the settings of a run, with its parts `DataConfig`, `OptimizerConfig`,
  `TrainConfig` and `EvaluationConfig`
- `Pyramid`, `Targets`, `Proposals`, `Detections`, `LossTerm`: what travels between the
  modules
"""

from fpn_jax.lazy import late_names

TYPE_CHECKING = False  # type checkers take it for True; `typing` is not light

if TYPE_CHECKING:
    from fpn_jax.backbones.mobilenet_v2 import MobileNetV2
    from fpn_jax.backbones.mobilenet_v3 import MobileNetV3
    from fpn_jax.backbones.resnet import ResNet
    from fpn_jax.backbones.vgg import VGG
    from fpn_jax.detectors.cascade import Cascade
    from fpn_jax.detectors.fast_rcnn import FastRCNN
    from fpn_jax.detectors.one_stage import OneStage
    from fpn_jax.detectors.proposal_network import ProposalNetwork
    from fpn_jax.detectors.two_stage import TwoStage
    from fpn_jax.heads.box import BoxHead
    from fpn_jax.heads.fcos import FCOSHead
    from fpn_jax.heads.keypoint import KeypointHead
    from fpn_jax.heads.mask import MaskHead
    from fpn_jax.heads.retinanet import RetinaNetHead
    from fpn_jax.heads.rpn import RPNHead
    from fpn_jax.heads.yolov3 import YOLOv3Head
    from fpn_jax.heads.yolox import YOLOXHead
    from fpn_jax.inference.loading import load
    from fpn_jax.necks.bifpn import BiFPN
    from fpn_jax.necks.fpn import FPN
    from fpn_jax.necks.pafpn import PAFPN
    from fpn_jax.training.config import (
        Config,
        DataConfig,
        EvaluationConfig,
        OptimizerConfig,
        TrainConfig,
    )
    from fpn_jax.types import Detections, LossTerm, Proposals, Pyramid, Targets
    from fpn_jax.zoo.torchvision import (
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

__all__ = [
    "BiFPN",
    "BoxHead",
    "Cascade",
    "Config",
    "DataConfig",
    "Detections",
    "EvaluationConfig",
    "FCOSHead",
    "FPN",
    "FastRCNN",
    "KeypointHead",
    "LossTerm",
    "MaskHead",
    "MobileNetV2",
    "MobileNetV3",
    "OneStage",
    "OptimizerConfig",
    "PAFPN",
    "ProposalNetwork",
    "Proposals",
    "Pyramid",
    "RPNHead",
    "ResNet",
    "RetinaNetHead",
    "Targets",
    "TrainConfig",
    "TwoStage",
    "VGG",
    "YOLOXHead",
    "YOLOv3Head",
    "__version__",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "load",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
]

__version__ = "0.2.0"

__getattr__, __dir__ = late_names(
    __name__,
    {
        "fpn_jax.backbones.mobilenet_v2": ("MobileNetV2",),
        "fpn_jax.backbones.mobilenet_v3": ("MobileNetV3",),
        "fpn_jax.backbones.resnet": ("ResNet",),
        "fpn_jax.backbones.vgg": ("VGG",),
        "fpn_jax.detectors.cascade": ("Cascade",),
        "fpn_jax.detectors.fast_rcnn": ("FastRCNN",),
        "fpn_jax.detectors.one_stage": ("OneStage",),
        "fpn_jax.detectors.proposal_network": ("ProposalNetwork",),
        "fpn_jax.detectors.two_stage": ("TwoStage",),
        "fpn_jax.heads.box": ("BoxHead",),
        "fpn_jax.heads.fcos": ("FCOSHead",),
        "fpn_jax.heads.keypoint": ("KeypointHead",),
        "fpn_jax.heads.mask": ("MaskHead",),
        "fpn_jax.heads.retinanet": ("RetinaNetHead",),
        "fpn_jax.heads.rpn": ("RPNHead",),
        "fpn_jax.heads.yolov3": ("YOLOv3Head",),
        "fpn_jax.heads.yolox": ("YOLOXHead",),
        "fpn_jax.inference.loading": ("load",),
        "fpn_jax.necks.bifpn": ("BiFPN",),
        "fpn_jax.necks.fpn": ("FPN",),
        "fpn_jax.necks.pafpn": ("PAFPN",),
        "fpn_jax.training.config": (
            "Config",
            "DataConfig",
            "EvaluationConfig",
            "OptimizerConfig",
            "TrainConfig",
        ),
        "fpn_jax.types": ("Detections", "LossTerm", "Proposals", "Pyramid", "Targets"),
        "fpn_jax.zoo.torchvision": (
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
        ),
    },
)
