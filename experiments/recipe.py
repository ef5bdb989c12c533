"""What training on COCO has in common, whatever the detector."""

import flax.linen as nn

from fpn_jax.training import (
    Config,
    DataConfig,
    EvaluationConfig,
    OptimizerConfig,
    TrainConfig,
)


def coco_recipe(
    model: nn.Module, *, best: str = "AP", learning_rate: float = 0.02
) -> Config:
    """Returns the 1x schedule of Detectron and Detectron2: 90,000 steps of 16 images.

    SGD with a linear warm-up of 1000 steps, a tenth of the learning rate after two and
    after eight ninths of the run; short sides of 640 … 800 pixels, flips, frozen norms
    of ImageNet weights; images without objects are left out. With another
    `data.batch_size` learning rate and steps change in proportion. 3x is
    `--train.steps 270000 --optimizer.milestones 0.778 0.926`.

    Args:
        best: by which the best checkpoint is chosen.
        learning_rate: for 16 images.
    """
    return Config(
        model=model,
        data=DataConfig(
            source="coco",
            skip_empty=True,
            canvas=(800, 1344),
            group_by_aspect=True,
            scale_jitter=(0.8, 1.0),
            batch_size=16,
            max_boxes=100,  # COCO's images have up to 93
            workers=8,
        ),
        optimizer=OptimizerConfig(
            name="sgd",
            learning_rate=learning_rate,
            decay_norms_and_biases=True,  # norms are frozen
            schedule="step",
            milestones=(2 / 3, 8 / 9),
            warmup_steps=1000,
        ),
        train=TrainConfig(
            steps=90_000,
            reference_batch_size=16,
            evaluate_every=15_000,
            save_every=1_000,
        ),
        evaluation=EvaluationConfig(batch_size=16, best=best),
    )
