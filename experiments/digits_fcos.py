"""FCOS on digits: the data, backbone and optimizer of the default job.

    python -m fpn_jax.train experiments/digits_fcos.py

AP 0.504 in 12 minutes on 2 CPU cores, see `experiments/README.md`.
"""

from fpn_jax.heads import FCOSHead
from fpn_jax.training import Config, TrainConfig
from fpn_jax.zoo import digits_one_stage


def get_config() -> Config:
    return Config(
        model=digits_one_stage(
            FCOSHead(num_classes=10, num_convs=2, score_threshold=0.05)
        ),
        train=TrainConfig(steps=460),
    )
