r"""FCOS on COCO (Tian et al. 2019), with center sampling and GIoU.

    python -m fpn_jax.train experiments/coco_fcos.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

AP of ResNet-50, 1x: 36.6 to 38.7 (MMDetection 3.3), by how many later changes are
taken; 26 epochs: 39.2 (torchvision).
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.training import Config
from fpn_jax.zoo import fcos_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, levels=(3, 4, 5), frozen_stages=2)
    model = fcos_resnet50_fpn(num_classes=80, backbone=backbone)
    return coco_recipe(model, learning_rate=0.01)
