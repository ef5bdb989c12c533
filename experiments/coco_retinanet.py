r"""RetinaNet on COCO (Lin et al. 2017).

    python -m fpn_jax.train experiments/coco_retinanet.py \
        --train.pretrained resnet50-0676ba61.pth                     # ResNet-50, 1x
    … --model.backbone.depth 101 \
        --train.pretrained resnet101-63fe2227.pth                    # ResNet-101
    … --train.steps 270000 --optimizer.milestones 0.778 0.926        # 3x

AP of ResNet-50, 1x: 36.5 (MMDetection 3.3), 37.4 (Detectron2); 3x: 39.5, 38.7. Of
ResNet-101, 1x: 38.5 (MMDetection); 3x: 41.0, 40.4.
For 8 devices of two images each; `coco` holds COCO as published. Not trained yet: the
figures are those of others, to be reached.
"""

from recipe import coco_recipe

from fpn_jax.backbones import ResNet
from fpn_jax.necks import FPN
from fpn_jax.training import Config
from fpn_jax.zoo import retinanet_resnet50_fpn


def get_config() -> Config:
    backbone = ResNet(depth=50, levels=(3, 4, 5), frozen_stages=2)
    model = retinanet_resnet50_fpn(num_classes=80, backbone=backbone)
    # P6 of C5, as in the paper and in both others; torchvision makes it of P5.
    model = model.clone(neck=FPN(channels=256, extra="conv_c5"))
    return coco_recipe(model, learning_rate=0.01)
