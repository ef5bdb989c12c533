"""What the data decides of a run."""

from dataclasses import replace

import numpy as np
import pytest

from fpn_jax.data.example import Category, KeypointSpec
from fpn_jax.detectors.fields import values_of, with_field
from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.data_fit import (
    ALL,
    CANVAS,
    CLASSES,
    as_begun,
    fit_to_data,
    fitted_line,
    open_settings,
)
from fpn_jax.training.fine_tuning import fine_tuning
from fpn_jax.zoo.digits import digits_faster_rcnn
from fpn_jax.zoo.torchvision import keypointrcnn_resnet50_fpn, maskrcnn_resnet50_fpn
from tests.support.gray_source import GraySource


class Photographs(GraySource):
    """Upright images of three classes of animals with two keypoints."""

    categories = tuple(
        Category(i, name) for i, name in enumerate(("cat", "dog", "elk"))
    )
    keypoint_spec = KeypointSpec(("nose", "tail"), flip=(0, 1))

    @property
    def image_sizes(self):
        return np.array([[640, 320]] * len(self))


def test_every_head_gets_the_classes_and_keypoints_of_the_data():
    config = Config(model=maskrcnn_resnet50_fpn())
    fitted = fit_to_data(config, Photographs(4), [CLASSES])
    assert values_of(fitted.model, "num_classes") == {
        "box_head.num_classes": 3,
        "mask_head.num_classes": 3,
    }
    config = Config(model=keypointrcnn_resnet50_fpn())
    fitted = fit_to_data(config, Photographs(4), [CLASSES])
    assert values_of(fitted.model, "num_keypoints") == {
        "keypoint_head.num_keypoints": 2
    }


def test_the_canvas_gets_the_shape_of_the_images():
    config = Config(data=DataConfig(canvas=(320, 320)))
    fitted = fit_to_data(config, Photographs(4), [CANVAS])
    # 448 x 224 of at most 102,400 pixels, half as wide as high.
    assert fitted.data.canvas == (448, 224)


@pytest.mark.parametrize(
    "images, batch_size, steps, evaluate_every, warmup",
    [
        (1, 4, 100, 20, 20),  # 50 images would be 12 steps
        (44, 4, 550, 110, 100),  # 50 times each
        (205, 4, 1500, 300, 100),  # 6,000 images, 29 times each
        (1000, 4, 3000, 600, 100),  # 12 times each
        (1000, 16, 750, 150, 100),
    ],
)
def test_few_images_are_seen_more_often(
    images, batch_size, steps, evaluate_every, warmup
):
    config = fine_tuning("fcos_resnet50_fpn", pretrained=True)
    config = replace(config, data=replace(config.data, batch_size=batch_size))
    fitted = fit_to_data(config, Photographs(images), ALL)
    assert fitted.train.steps == steps
    assert fitted.train.evaluate_every == evaluate_every
    assert fitted.optimizer.warmup_steps == warmup


def test_what_is_given_stays():
    given = ("train.steps", "data.canvas", "model.head.num_classes")
    names = open_settings(ALL, given)
    assert names == {"train.evaluate_every", "optimizer.warmup_steps"}
    config = fine_tuning("fcos_resnet50_fpn", pretrained=True)
    config = replace(config, train=replace(config.train, steps=12))
    fitted = fit_to_data(config, Photographs(205), names)
    assert fitted.train.steps == 12 and fitted.optimizer.warmup_steps == 2
    assert fitted.train.evaluate_every == 3
    assert fitted.model == config.model and fitted.data == config.data


def test_one_line_says_what_was_set():
    config = Config(model=digits_faster_rcnn())
    fitted = fit_to_data(config, Photographs(4), [CLASSES, CANVAS])
    line = "set for this data: 3 classes, --data.canvas 448 224"
    assert fitted_line(config, fitted) == line
    assert fitted_line(fitted, fitted) is None


def test_a_run_goes_on_with_the_classes_of_its_data():
    fresh = maskrcnn_resnet50_fpn()
    begun = with_field(fresh, "num_classes", 5)
    assert as_begun(fresh, begun) == begun
    persons = keypointrcnn_resnet50_fpn()
    begun = with_field(persons, "num_keypoints", 4)
    assert as_begun(persons, begun) == begun
