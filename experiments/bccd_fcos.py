r"""RetinaNet on MobileNetV2 with a pyramid, fine-tuned on images of blood cells.

    python -m fpn_jax.train experiments/bccd_retinanet.py --data.source BCCD \
        --train.pretrained mobilenet_v2
    python -m experiments.bccd_torchvision BCCD mobilenet_v2-b0353104.pth \
        --detector retinanet                                           # torchvision's
"""

from bccd import backbone, bccd_recipe

from fpn_jax import FPN, OneStage, RetinaNetHead
from fpn_jax.training import Config


def get_config() -> Config:
    sizes = tuple(
        tuple(int(side * 2 ** (k / 3)) for k in range(3)) for side in (32, 64, 128, 256)
    )
    model = OneStage(
        backbone=backbone(),
        neck=FPN(channels=256, extra="pool"),
        head=RetinaNetHead(num_classes=3, anchor_sizes=sizes, box_loss="l1"),
    )
    return bccd_recipe(model, canvas=(288, 384), learning_rate=0.005)
