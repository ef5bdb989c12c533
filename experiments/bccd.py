"""What both detectors of blood cells have in common, in both libraries.

BCCD (github.com/Shenggan/BCCD_Dataset, MIT): 205 images to train on and 87 to measure,
640 x 480 pixels, three classes. The backbone is MobileNetV2 with torchvision's ImageNet
weights, of which the three lowest stages and all norms stay as they are, as torchvision
freezes them; its levels 3 … 5 go into a pyramid. Images are made smaller, and steps are
few, so that a run in torchvision ends within half an hour on two cores.
"""

import flax.linen as nn

from fpn_jax.backbones import MobileNetV2
from fpn_jax.training import Config, DataConfig, OptimizerConfig, TrainConfig


def backbone() -> MobileNetV2:
    """Returns the backbone with the levels that torchvision counts 2, 3 and 4."""
    return MobileNetV2(levels=(3, 4, 5), frozen_stages=3)


def bccd_recipe(
    model: nn.Module, *, canvas: tuple[int, int], learning_rate: float, steps: int = 300
) -> Config:
    """Returns the settings: steps of 4 images, flips alone, SGD with two falls."""
    return Config(
        model=model,
        data=DataConfig(source="bccd", canvas=canvas, batch_size=4, max_boxes=32),
        optimizer=OptimizerConfig(
            name="sgd",
            learning_rate=learning_rate,
            decay_norms_and_biases=True,  # norms are frozen
            schedule="step",
            milestones=(2 / 3, 8 / 9),
            warmup_steps=50,
        ),
        train=TrainConfig(steps=steps, evaluate_every=steps, save_every=steps),
    )
