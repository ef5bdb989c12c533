"""Random changes of training images, by the settings of a run."""

from fpn_jax.data.example import Source
from fpn_jax.data.mixing import CopyPaste, MixUp, Mosaic
from fpn_jax.data.transforms import (
    ColorJitter,
    HorizontalFlip,
    RandomCrop,
    ScaleJitter,
    Transform,
)
from fpn_jax.training.config import DataConfig


def training_transforms(
    data: DataConfig, source: Source, *, mixed: bool
) -> list[Transform]:
    """Returns the random changes of training images, in their order.

    Only those that are `mixed` have mosaics, mix-ups and pasted objects.
    """
    flips = data.source != "digits" if data.flip is None else data.flip
    transforms = [
        *([HorizontalFlip()] if flips else []),
        *([RandomCrop(data.crop)] if data.crop else []),
        ScaleJitter(data.canvas, *data.scale_jitter, box_scale=data.box_scale),
        *([ColorJitter(data.color)] if data.color else []),
    ]
    if not mixed:
        return transforms
    others = source, tuple(transforms)
    mosaic = Mosaic(source, data.canvas, data.mosaic, box_scale=data.box_scale)
    return [
        *([mosaic] if data.mosaic else []),
        *transforms,
        *([CopyPaste(*others, data.copy_paste)] if data.copy_paste else []),
        *([MixUp(*others, data.mixup)] if data.mixup else []),
    ]


def images_in_one(data: DataConfig) -> int:
    """Returns of how many images a training image has objects, at most."""
    others = 3 * bool(data.mosaic) + bool(data.copy_paste) + bool(data.mixup)
    return 1 + others
