"""The training and validation data of a config: sources, and batches of them."""

import logging

import jax

from fpn_jax.data.batching import Batching, Share
from fpn_jax.data.digits.dataset import check_drawn
from fpn_jax.data.example import Source
from fpn_jax.data.excess import room_for
from fpn_jax.data.formats.keypoint_fields import NOT_PAIRED
from fpn_jax.data.loader import Changes, evaluation_batches, training_batches
from fpn_jax.data.read_ahead import EvaluationBatches, TrainingBatches
from fpn_jax.data.selection import without_empty
from fpn_jax.data.sources import open_source
from fpn_jax.detectors.contract import facts
from fpn_jax.training.augmentation import images_in_one, training_transforms
from fpn_jax.training.config import Config, DataConfig

_OF_DIGITS = 16  # they have at most 12

_log = logging.getLogger(__name__)


def check_splits(data: DataConfig) -> None:
    """Raises ValueError for a split that the digits have not, before they are drawn.

    Other data sets are opened without cost, and say so themselves.
    """
    if data.source != "digits":
        return
    for name in ("train", "validation"):
        try:
            check_drawn(getattr(data, name))
        except ValueError as error:
            raise ValueError(f"data.{name}: {error}") from None


def training_source(config: Config) -> Source:
    """Opens the training images, with what the model is trained on."""
    data, measured = config.data, facts(config.model).measures
    keypoints = "keypoints" in measured
    masks = "masks" in measured or data.copy_paste > 0
    source = open_source(data.source, data.train, masks=masks, keypoints=keypoints)
    if keypoints:
        for note in (one for one in source.defects if one.kind == NOT_PAIRED):
            _log.warning("%s: %s", source.name, note)
    return without_empty(source, keypoints=keypoints) if data.skip_empty else source


def validation_source(config: Config) -> Source:
    """Opens the validation images, with what the model is measured on."""
    data, measured = config.data, facts(config.model).measures
    return open_source(
        data.source,
        data.validation,
        masks="masks" in measured,
        keypoints="keypoints" in measured,
    )


def training_data(config: Config, source: Source) -> TrainingBatches:
    """Returns this process's part of the training batches."""
    data = config.data
    return training_batches(
        source,
        batching_of(
            config,
            data.batch_size,
            max_boxes=images_in_one(data) * max_boxes_of(data, source),
        ),
        changes=Changes(
            tuple(training_transforms(data, source, mixed=True)),
            tuple(training_transforms(data, source, mixed=False)),
            last_from=config.train.steps - data.unmixed_steps,
        ),
        group_by_aspect=data.group_by_aspect,
        seed=config.train.seed,
        share=_share(),
        workers=data.workers,
    )


def validation_data(config: Config, source: Source) -> EvaluationBatches:
    """Returns this process's part of the validation batches."""
    size = config.evaluation.batch_size
    max_boxes = max_boxes_of(config.data, source)
    return evaluation_batches(
        source, batching_of(config, size, max_boxes=max_boxes), _share()
    )


def max_boxes_of(data: DataConfig, source: Source | None) -> int:
    """Returns the rows for objects in batches of a source: as given, or for all.

    Without a source they are as many as for one that does not say.
    """
    if data.max_boxes is not None:
        return data.max_boxes
    if data.source == "digits":
        return _OF_DIGITS
    counts = None if source is None else source.object_counts()
    return room_for(None if counts is None else counts[:, 0])


def batching_of(config: Config, batch_size: int, *, max_boxes: int) -> Batching:
    """The form of batches that are `batch_size` over all processes."""
    data, measured = config.data, facts(config.model).measures
    return Batching(
        batch_size=batch_size // jax.process_count(),
        canvas=data.canvas,
        max_boxes=max_boxes,
        mask_size=data.mask_size if "masks" in measured else None,
        keypoints="keypoints" in measured,
        box_scale=data.box_scale,
        max_errors=data.max_errors,
    )


def _share() -> Share:
    return Share(jax.process_index(), jax.process_count())
