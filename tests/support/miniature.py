"""The experiment of the command tests: seconds instead of minutes.

The data sets are given on the command line.
"""

from fpn_jax.backbones import ResNet
from fpn_jax.detectors import ProposalNetwork
from fpn_jax.heads import RPNHead
from fpn_jax.necks import FPN
from fpn_jax.training import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    TrainConfig,
)


def get_config() -> Config:
    return Config(
        model=ProposalNetwork(
            backbone=ResNet(18, width=8, norm="batch", levels=(2, 3)),
            neck=FPN(channels=8),
            head=RPNHead(anchor_sizes=((8,), (16,), (32,)), pre_nms=100, post_nms=100),
        ),
        data=DataConfig(canvas=(96, 96), batch_size=8, max_boxes=16),
        optimizer=OptimizerConfig("adamw", learning_rate=1e-3, warmup_steps=2),
        train=TrainConfig(steps=8, log_every=2, save_every=2, evaluate_every=4),
        evaluation=EvaluationConfig(batch_size=8),
    )
