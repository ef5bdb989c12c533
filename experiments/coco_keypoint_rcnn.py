r"""Keypoint R-CNN on the persons of COCO (He et al. 2017, section 5).

    python -m fpn_jax.train experiments/coco_keypoint_rcnn.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

Box and keypoint AP of ResNet-50, 3x: 55.4, 65.5 (Detectron2); 46 epochs: 54.6, 65.0
(torchvision). All leave out images without a person whose keypoints are annotated.
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.training import Config
from fpn_jax.zoo import keypointrcnn_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, frozen_stages=2)
    model = keypointrcnn_resnet50_fpn(backbone=backbone)
    return coco_recipe(model, best="keypoint/AP")
