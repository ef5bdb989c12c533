r"""Proposals on COCO: the RPN of the paper (FPN, section 4.1), trained as today.

    python -m fpn_jax.train experiments/coco_rpn.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

AR@1000 of ResNet-50, 1x: 0.582 (MMDetection 3.3), 0.580 (Detectron2); the paper's own
schedule 0.563.
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.training import Config
from fpn_jax.zoo import rpn_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, frozen_stages=2)
    model = rpn_resnet50_fpn().clone(backbone=backbone)
    return coco_recipe(model, best="AR@1000")
