"""RetinaNet on digits: the data, backbone and optimizer of the default job.

    python -m fpn_jax.train experiments/digits_retinanet.py

AP 0.072 in 12 minutes on 2 CPU cores, see `experiments/README.md`.
"""

from fpn_jax.heads import RetinaNetHead
from fpn_jax.training import Config, TrainConfig
from fpn_jax.zoo import digits_one_stage


def get_config() -> Config:
    return Config(
        model=digits_one_stage(
            RetinaNetHead(
                num_classes=10,
                anchor_sizes=((8, 10, 13), (16, 20, 25), (32, 40, 51), (64, 81, 102)),
                num_convs=2,
                norm="group",
                box_loss="giou",
                score_threshold=0.05,
                max_detections=100,
            )
        ),
        train=TrainConfig(steps=400),
    )
