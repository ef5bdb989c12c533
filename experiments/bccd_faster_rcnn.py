r"""Faster R-CNN on MobileNetV2 with a pyramid, fine-tuned on images of blood cells.

    python -m fpn_jax.train experiments/bccd_faster_rcnn.py --data.source BCCD \
        --train.pretrained mobilenet_v2
    python -m experiments.bccd_torchvision BCCD mobilenet_v2-b0353104.pth   # theirs
"""

from bccd import backbone, bccd_recipe

from fpn_jax import FPN, BoxHead, RPNHead, TwoStage
from fpn_jax.heads import RoIPool
from fpn_jax.training import Config


def get_config() -> Config:
    model = TwoStage(
        backbone=backbone(),
        neck=FPN(channels=256, extra="pool"),
        rpn=RPNHead(anchor_sizes=((32,), (64,), (128,), (256,))),
        box_head=BoxHead(
            num_classes=3, num_samples=256, pool=RoIPool(levels=(3, 4, 5))
        ),
    )
    return bccd_recipe(model, canvas=(384, 512), learning_rate=0.01)
