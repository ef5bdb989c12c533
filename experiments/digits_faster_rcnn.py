"""Digits with their classes: Faster R-CNN on a pyramid of a narrow ResNet-18.

    python -m fpn_jax.train experiments/digits_faster_rcnn.py

The same as `python -m fpn_jax.train` without a file, written out.
"""

from fpn_jax.backbones import ResNet
from fpn_jax.detectors import TwoStage
from fpn_jax.heads import BoxHead, RPNHead
from fpn_jax.necks import FPN
from fpn_jax.training import Config, DataConfig, OptimizerConfig, TrainConfig


def get_config() -> Config:
    return Config(
        model=TwoStage(
            backbone=ResNet(depth=18, width=32, norm="batch"),
            neck=FPN(channels=64, norm="batch"),
            rpn=RPNHead(
                anchor_sizes=((8,), (16,), (32,), (64,), (128,)),
                box_loss_weight=4.0,
                training_pre_nms=300,
                training_post_nms=300,
            ),
            box_head=BoxHead(
                num_classes=10,
                hidden_features=256,
                num_samples=64,
                positive_fraction=0.5,
            ),
        ),
        data=DataConfig(canvas=(320, 320), batch_size=4),
        optimizer=OptimizerConfig(name="muon", warmup_steps=50),  # at a rate of 4e-3
        train=TrainConfig(steps=700),
    )
