"""Training images under each kind of random change, to be looked at."""

from collections.abc import Mapping

import numpy as np

from fpn_jax.data.example import Source
from fpn_jax.data.mixing import CopyPaste, MixUp, Mosaic
from fpn_jax.data.transforms import (
    ColorJitter,
    HorizontalFlip,
    RandomCrop,
    ScaleJitter,
    Transform,
)
from fpn_jax.examination.page import Section, example_picture


def every_transform(
    source: Source, canvas: tuple[int, int], *, masks: bool
) -> dict[str, Transform]:
    """Each kind of change by its name, always happening; pasting needs masks."""
    fit = ScaleJitter(canvas, 1, 1)
    return {
        "flip": HorizontalFlip(1.0),
        "crop": RandomCrop(1.0),
        "scale jitter 0.5 … 2": ScaleJitter(canvas, 0.5, 2),
        "scale jitter 0.1 … 2 (large-scale)": ScaleJitter(canvas, 0.1, 2),
        "color": ColorJitter(1.0),
        "mosaic": Mosaic(source, canvas, 1.0),
        "mixup": MixUp(source, (fit,), 1.0),
    } | ({"copy-paste": CopyPaste(source, (fit,), 1.0)} if masks else {})


def augmented_sections(
    source: Source, transforms: Mapping[str, Transform], num: int
) -> list[Section]:
    """A section for each transform, with the first `num` images changed by it."""
    names = [category.name for category in source.categories]
    examples = [source[index] for index in range(min(num, len(source)))]
    return [
        (
            kind,
            [
                (example.name, example_picture(change(example, _rng(number)), names))
                for number, example in enumerate(examples)
            ],
        )
        for kind, change in transforms.items()
    ]


def _rng(number: int) -> np.random.Generator:
    return np.random.default_rng(number)
