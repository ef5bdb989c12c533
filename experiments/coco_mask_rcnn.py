r"""Mask R-CNN on COCO (He et al. 2017).

    python -m fpn_jax.train experiments/coco_mask_rcnn.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

Box and mask AP of ResNet-50, 1x: 38.2, 34.7 (MMDetection 3.3), 38.6, 35.2 (Detectron2);
3x: 40.9, 37.1 and 41.0, 37.2.
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.training import Config
from fpn_jax.zoo import maskrcnn_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, frozen_stages=2)
    model = maskrcnn_resnet50_fpn(num_classes=80, backbone=backbone)
    return coco_recipe(model, best="mask/AP")
