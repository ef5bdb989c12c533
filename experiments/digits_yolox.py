"""YOLOX on digits: the data, backbone and optimizer of the default job.

    python -m fpn_jax.train experiments/digits_yolox.py

AP 0.319 in 12 minutes on 2 CPU cores, see `experiments/README.md`.
"""

from fpn_jax.heads import YOLOXHead
from fpn_jax.training import Config, TrainConfig
from fpn_jax.zoo import digits_one_stage


def get_config() -> Config:
    return Config(
        model=digits_one_stage(YOLOXHead(num_classes=10)),
        train=TrainConfig(steps=490),
    )
