"""Which changes of images the settings of a run ask for."""

import pytest

from fpn_jax.data.mixing import CopyPaste, MixUp, Mosaic
from fpn_jax.data.transforms import (
    ColorJitter,
    HorizontalFlip,
    RandomCrop,
    ScaleJitter,
)
from fpn_jax.training.augmentation import (
    images_in_one,
    training_transforms,
)
from fpn_jax.training.config import DataConfig
from tests.support.gray_source import GraySource


@pytest.mark.parametrize(
    "data, flips",
    [
        (DataConfig(), False),
        (DataConfig(flip=True), True),
        (DataConfig(source="coco"), True),
        (DataConfig(source="coco", flip=False), False),
    ],
)
def test_all_images_but_digits_are_flipped_unless_told(data, flips):
    transforms = training_transforms(data, GraySource(1), mixed=True)
    kinds = [type(transform) for transform in transforms]
    assert kinds == [HorizontalFlip] * flips + [ScaleJitter]


def test_images_are_mixed_where_asked_and_while_it_lasts():
    data = DataConfig(mosaic=0.5, mixup=0.2, flip=True, scale_jitter=(0.5, 2))
    mosaic, *others, mixup = training_transforms(data, GraySource(1), mixed=True)
    assert (mosaic.probability, mixup.probability) == (0.5, 0.2)
    assert list(mixup.transforms) == others
    assert training_transforms(data, GraySource(1), mixed=False) == others


def test_all_that_resize_scale_boxes_as_the_data_say():
    data = DataConfig(mosaic=0.5, box_scale="common")
    mosaic, jitter = training_transforms(data, GraySource(1), mixed=True)
    assert (mosaic.box_scale, jitter.box_scale) == ("common", "common")


def test_everything_at_once_has_an_order():
    data = DataConfig(
        flip=True, crop=0.1, color=0.2, mosaic=0.3, copy_paste=0.4, mixup=0.5
    )
    mixed = training_transforms(data, GraySource(1), mixed=True)
    kinds = [Mosaic, HorizontalFlip, RandomCrop, ScaleJitter, ColorJitter]
    assert [type(one) for one in mixed] == [*kinds, CopyPaste, MixUp]
    unlike = [one.probability for one in mixed if hasattr(one, "probability")]
    assert unlike == [0.3, 0.5, 0.1, 0.2, 0.4, 0.5]
    assert list(mixed[-1].transforms) == list(mixed[-2].transforms) == mixed[1:5]
    assert images_in_one(data) == 6 and images_in_one(DataConfig()) == 1
