r"""FCOS on MobileNetV2 with a pyramid, fine-tuned on images of blood cells.

    python -m fpn_jax.train experiments/bccd_fcos.py --data.source BCCD \
        --train.pretrained mobilenet_v2
    python -m experiments.bccd_torchvision BCCD mobilenet_v2-b0353104.pth \
        --detector fcos                                                # torchvision's
"""

from bccd import backbone, bccd_recipe

from fpn_jax import FPN, FCOSHead, OneStage
from fpn_jax.training import Config


def get_config() -> Config:
    model = OneStage(
        backbone=backbone(),
        # Half as wide as usual: towers of 256 channels take eight times as long as this
        # backbone.
        neck=FPN(channels=128, extra="pool"),
        head=FCOSHead(num_classes=3, score_threshold=0.05),
    )
    return bccd_recipe(model, canvas=(288, 384), learning_rate=0.01, steps=600)
