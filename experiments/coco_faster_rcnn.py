r"""Faster R-CNN on COCO (FPN, section 4.2).

    python -m fpn_jax.train experiments/coco_faster_rcnn.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

Box AP of ResNet-50, 1x: 37.4 (MMDetection 3.3), 37.9 (Detectron2); 3x: 40.3, 40.2. Of
ResNet-101, 1x: 39.4 (MMDetection); 3x: 41.8, 42.0.
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.training import Config
from fpn_jax.zoo import fasterrcnn_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, frozen_stages=2)
    return coco_recipe(fasterrcnn_resnet50_fpn(num_classes=80, backbone=backbone))
