"""The first batches that a run would read, for what only they refuse."""

import dataclasses

from fpn_jax.data.batching import Batching
from fpn_jax.data.defects import Defect
from fpn_jax.data.loader import Changes, evaluation_batches, training_batches
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.examination.examine import Examination
from fpn_jax.training.augmentation import images_in_one, training_transforms
from fpn_jax.training.config import DataConfig

_MASK_SIZE = 28  # cells of a side; the masks of a batch need some


def rehearse(
    examination: Examination, data: DataConfig, *, masks: bool, keypoints: bool
) -> list[Defect]:
    """Makes a batch for training and one for evaluation, as a run with these settings.

    Args:
        examination: of a split; only its readable images are taken.
        data: settings of the run, and the canvas.
        masks: whether batches have the masks of the source.
        keypoints: whether they have its keypoints, where it has some.

    Returns:
        A defect for a batch that is refused.
    """
    source = examination.readable
    if not len(source):
        return []
    if not masks:  # that objects could be cut out by
        data = dataclasses.replace(data, copy_paste=0.0)
    most = max(len(one.labels) for one in examination.seen)
    batching = Batching(
        batch_size=min(data.batch_size, len(source)),
        canvas=data.canvas,
        max_boxes=images_in_one(data) * max(most, 1),
        mask_size=_MASK_SIZE if masks else None,
        keypoints=keypoints and source.keypoint_spec is not None,
        max_errors=data.max_errors,
    )
    changes = Changes(tuple(training_transforms(data, source, mixed=True)))
    try:
        training = training_batches(source, batching, changes=changes, seed=0)
        try:
            next(training)
        finally:
            training.close()
        next(iter(evaluation_batches(source, batching)))
        coco_ground_truth([source.truth(0)], source.categories, source.keypoint_spec)
    except ValueError as error:
        return [Defect("batch refused", "training", str(error))]
    return []
