"""YOLOX on digits: the data, backbone and optimizer of the default job.

python -m fpn_jax.train experiments/digits_yolox.py

AP 0.319 by `--train.steps 490`, 12 minutes on 2 CPU cores: `experiments/README.md`.
"""

from fpn_jax.heads import YOLOXHead
from fpn_jax.training import Config, DataConfig, OptimizerConfig, TrainConfig
from fpn_jax.zoo import digits_one_stage


def get_config() -> Config:
    return Config(
        model=digits_one_stage(YOLOXHead(num_classes=10)),
        data=DataConfig(canvas=(320, 320), batch_size=4),
        optimizer=OptimizerConfig(name="muon", learning_rate=4e-3, warmup_steps=50),
        train=TrainConfig(steps=700),
    )
